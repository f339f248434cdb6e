"""What is learnt from a recipe: the visible loop, what it keeps, and what it can go on from."""

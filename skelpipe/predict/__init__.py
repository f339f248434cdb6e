"""What somebody does with what was learnt: recordings and videos of their own, and what happens in them."""

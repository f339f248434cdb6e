"""What makes the generated pages of the documentation, each from the code or the file that it tells of."""

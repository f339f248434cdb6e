"""What lies in an output, where it comes from, and whether it is as it was made."""

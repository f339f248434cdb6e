"""What a machine has for this program, and what is missing for what."""

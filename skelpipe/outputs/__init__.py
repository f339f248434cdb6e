"""Outputs that are whole or not there at all, and that say how they were made."""

"""Parsers of the publishers' text files, compiled."""

"""The commands. To add one: a function in the module of its section, and its name in SECTIONS of `program`.

Each parses, calls one function and says what came out; what is slow to import is imported inside.
"""

from skelpipe.cli.program import main

__all__ = ["main"]

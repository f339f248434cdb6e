"""The one exception that a user is meant to see."""

from __future__ import annotations

import os


class BadInput(Exception):
    """Something the user gave cannot be used; the CLI prints it as one line and exits with status 2.

    Args:
        where: the file, folder, option or line that is at fault.
        what: what is wrong with it, without a final full stop.
        remedy: what to do about it, without a final full stop.
    """

    def __init__(self, where: str | os.PathLike[str], what: str, remedy: str) -> None:
        self.where, self.what, self.remedy = os.fspath(where), what, remedy
        super().__init__(f"{self.where}: {what}; {remedy}")

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        # Worker processes hand this exception back through pickle, which would call __init__ with one string.
        return type(self), (self.where, self.what, self.remedy)

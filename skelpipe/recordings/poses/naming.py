"""Columns that the names of files tell, by a pattern such as a{label}_s{subject}_t{trial}."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from skelpipe.errors import BadInput, shortened

FIELD = re.compile(r"\{([^{}]*)\}")
NEARLY_ALL = 0.9  # of the names
FORM = "write a name as a{label}_s{subject}_t{trial}; {} stands for what does not matter"
# What a letter before a number means in the names of public data sets.
LETTERS = {"a": "label", "s": "subject", "p": "subject", "v": "camera", "c": "camera", "t": "trial", "e": "episode",
           "r": "replication", "g": "group", "k": "setup"}  # fmt: skip


class Naming:
    """The columns that a pattern tells of a name.

    Raises:
        BadInput: the pattern has no field, or one twice, or one with an odd name.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern, self.fields = pattern, [name for name in FIELD.findall(pattern) if name]
        if not self.fields:
            raise BadInput(f"names {pattern!r}", "has no field such as {label}", FORM)
        for name in self.fields:
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
                raise BadInput(f"names {pattern!r}", f"has a field called {name!r}", "use letters, digits and _")
        if len(set(self.fields)) != len(self.fields):
            raise BadInput(f"names {pattern!r}", "has a field twice", FORM)
        parts, at = [], 0
        for field in FIELD.finditer(pattern):
            parts.append(re.escape(pattern[at : field.start()]))
            parts.append(f"(?P<{field[1]}>[^/]+?)" if field[1] else "[^/]*?")
            at = field.end()
        self._form = re.compile("".join(parts) + re.escape(pattern[at:]))
        self._of_path = "/" in pattern

    def columns(self, path: str, stem: str) -> dict[str, str] | None:
        """The fields of a recording's name, or of its path where the pattern has a /; None if it is not so called."""
        found = self._form.fullmatch(path if self._of_path else stem)
        return None if found is None else found.groupdict()


def suggested(stems: Iterable[str]) -> str | None:
    """A pattern that nearly all names have, if these are letters with numbers behind them of which one is an action.

    Numbers that all of these share stay as they are.
    """
    every = list(stems)
    forms = Counter(re.sub(r"\d+", "0", name) for name in every)
    if not forms:
        return None
    (form, count), *_ = forms.most_common(1)
    if count < NEARLY_ALL * len(every):
        return None
    names = [name for name in every if re.sub(r"\d+", "0", name) == form]
    numbers = list(zip(*(re.findall(r"\d+", name) for name in names), strict=True))
    with_person = re.search(r"p\d", names[0], re.IGNORECASE) is not None  # as NTU RGB+D has it
    fields: list[str] = []
    for found, values in zip(re.finditer(r"([A-Za-z]*)\d+", names[0]), numbers, strict=True):
        letters = found[1].lower()
        name = "setup" if letters == "s" and with_person else LETTERS.get(letters, letters)
        free = "{" + name + "}" not in fields and len(name) > 1
        fields.append(values[0] if len(set(values)) == 1 and len(names) > 1 else "{" + (name if free else "") + "}")
    if "{label}" not in fields:
        return None
    pieces = iter(fields)
    return re.sub(r"\d+", lambda _: next(pieces), names[0])


def differing(names: Sequence[str], pattern: str) -> str:
    """What is told of names that are not of a pattern's form."""
    first = shortened(names[0], 60)
    return f"{len(names):,} names are not of the form {pattern}, the first {first}: nothing is known of these"

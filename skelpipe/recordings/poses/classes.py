"""Classes of labels as people give them: numbers or texts, and the names of a file of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skelpipe.errors import BadInput, shortened, suggest

Label = int | str
LONGEST = 200  # characters of a class's name


@dataclass(frozen=True)
class Classes:
    """The classes of labels.

    Attributes:
        names: in order; the class n is called names[n].
        number: the class of each label, from 0.
        told: what was understood where it may mean something else, in words.
    """

    names: tuple[str, ...]
    number: dict[Label, int]
    told: tuple[str, ...] = ()


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a file, a line each, in order of the classes.

    Raises:
        BadInput: it cannot be read, is empty, or has a name twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise BadInput(
            path, f"cannot be read ({error.strerror})", "give a text with the name of a class a line"
        ) from None
    except UnicodeDecodeError:
        raise BadInput(path, "is no text in UTF-8", "give a text with the name of a class a line") from None
    return check_class_names([line.strip() for line in lines if line.strip()], str(path))


def check_class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The names, if each is there once."""
    if not names:
        raise BadInput(where, "names no class", "give a text with the name of a class a line")
    if len(set(names)) != len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise BadInput(where, f"names the class {shortened(twice, 60)!r} twice", "name each class once")
    return tuple(shortened(name, LONGEST) for name in names)


def classes_of(labels: Sequence[Label], names: Sequence[str] = (), where: str = "labels") -> Classes:
    """The classes of labels.

    Without names these are the values that occur, sorted, and called as they are written. With names a text is one of
    them, and a number counts them from 0; from 1 if there is a 1 and no 0, or the last is K where there are K names;
    and labels of which as many values occur as there are names are numbered in their order.

    Args:
        labels: of all recordings, without those that have none.
        names: of the classes, in order.
        where: what a mistake is reported of.

    Raises:
        BadInput: a label that is none of the names, or is no class.
    """
    values = sorted({_plain(each) for each in labels}, key=_order)
    if not names:
        return _spelt(labels, values)
    texts: dict[Label, int] = {name: n for n, name in enumerate(names)}
    told: tuple[str, ...] = ()
    numbers = [each for each in values if isinstance(each, int)]
    place: dict[Label, int] = {**texts}
    if numbers and not set(map(str, numbers)) <= texts.keys():
        first, few = 0, f"labels go from {min(numbers)} to {max(numbers)}"
        if min(numbers) >= 1 and max(numbers) == len(names):
            first, told = 1, (f"{few}: they count the names of the classes from 1",)
        elif min(numbers) >= 1 and max(numbers) < len(names):  # either way
            first = 1 if min(numbers) == 1 else 0
            shown = f"{min(numbers)} is {shortened(names[min(numbers) - first], 40)!r}"
            told = (f"{few}, and there are {len(names)} names of classes: these are counted from {first}, {shown}; "
                    f"if that is wrong, write the names of classes as labels",)  # fmt: skip
        if min(numbers) >= first and max(numbers) < len(names) + first:
            place |= {each: each - first for each in numbers}
        elif len(numbers) == len(names):
            place |= {each: n for n, each in enumerate(numbers)}
            told = (f"labels are {_few(numbers)}: the names of the classes are theirs in this order",)
        else:
            what = f"has labels from {min(numbers)} to {max(numbers)}, and there are {len(names)} names of classes"
            raise BadInput(where, what, "name as many classes as there are")
    else:
        place |= {each: texts[str(each)] for each in numbers}
    for each in values:
        if each not in place:
            raise BadInput(
                where, f"has the class {shortened(str(each), 60)!r}, which is not named", suggest(str(each), names)
            )
    return Classes(tuple(names), {each: place[_plain(each)] for each in set(labels)}, told)


def _spelt(labels: Sequence[Label], values: list[Label]) -> Classes:
    place = {each: n for n, each in enumerate(values)}
    names = tuple(shortened(str(each), LONGEST) for each in values)
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(" ".join(re.split(r"[\s_-]+", name.casefold().strip())), []).append(name)
    told = [f"classes that differ in how they are spelt only: {', '.join(map(repr, some))}"
            for some in alike.values() if len(some) > 1][:3]  # fmt: skip
    return Classes(names, {each: place[_plain(each)] for each in set(labels)}, tuple(told))


def _plain(label: Label) -> Label:
    """A text that is a number as that number: a table's 7 and a folder's "7" are one class."""
    return int(label) if isinstance(label, str) and re.fullmatch(r"-?\d{1,9}", label) else label


def _order(label: Label) -> tuple[int, int, str]:
    return (0, label, "") if isinstance(label, int) else (1, 0, label)


def _few(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")

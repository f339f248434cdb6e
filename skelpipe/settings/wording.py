"""What is wrong in settings, told by its full key in the words of YAML, with what was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from skelpipe.errors import hint, nearest

LIST, MAPPING = "a list", "a mapping of keys to values"
KIND = {  # pydantic's name of a mistake -> what belongs there, in the words of YAML
    "tuple_type": LIST, "list_type": LIST, "set_type": LIST, "frozen_set_type": LIST,
    "dict_type": MAPPING, "mapping_type": MAPPING, "model_type": MAPPING, "model_attributes_type": MAPPING,
}  # fmt: skip

WHOLE = "a whole number"
WANTED = {"int_type": WHOLE, "int_parsing": WHOLE, "int_from_float": WHOLE, "string_type": "a name"}


def mistakes(model: type[BaseModel], details: Sequence[ErrorDetails], data: Mapping[str, Any]) -> list[str]:
    """What is wrong, "key: ...", once for each: of a setting that may be of several kinds pydantic tells each kind.

    Args:
        model: the settings.
        details: pydantic's, of one check of `data`.
    """
    texts: dict[str, list[ErrorDetails]] = {}
    kinds: dict[tuple[str, ...], list[str]] = {}
    for detail in details:
        keys = tuple(_walk(model, [str(part) for part in detail["loc"]])[0])
        own = _in_data(keys, data)
        if own == keys or detail["type"] == "missing" or "[key]" in keys:
            texts.setdefault(_describe(model, detail), [])
        else:
            kinds.setdefault(own, []).append(_wanted(detail))
            texts.setdefault(".".join(own), []).append(detail)
    # Where one kind fits but for something in it, that is what is wrong.
    inner = [one for one in kinds if not any(other != one and other[: len(one)] == one for other in kinds)]
    told = []
    for text, of in texts.items():
        branch = next((one for one in inner if ".".join(one) == text), None)
        if not of:
            told.append(text)
        elif branch is not None:
            value = of[0]["input"]
            known = [w for d in of if d["type"] == "literal_error" for w in _names(d["ctx"]["expected"])]
            meant = hint(value, known) if isinstance(value, str) else ""
            told.append(f"{text}: should be {' or '.join(dict.fromkeys(kinds[branch]))}, not {_shown(value)}{meant}")
    return told


def _in_data(keys: Sequence[str], data: Any) -> tuple[str, ...]:
    """Those of the keys that the data have; what pydantic calls the kinds that a setting may be of, they have not."""
    found = []
    for key in keys:
        entries = data if isinstance(data, dict) else dict(enumerate(data)) if isinstance(data, (list, tuple)) else {}
        entries = {str(name): value for name, value in entries.items()}
        if key in entries:
            found.append(key)
            data = entries[key]
    return tuple(found)


def _wanted(detail: ErrorDetails) -> str:
    """What one kind would be, in plain words."""
    if detail["type"] in KIND:
        return KIND[detail["type"]]
    return WANTED.get(detail["type"]) or detail["msg"].removeprefix("Input should be ")


def _names(listed: str) -> list[str]:
    """The names that pydantic lists as "'a', 'b' or 'c'"."""
    return [word.strip("' ") for word in re.split(r",| or ", listed)]


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)


def _describe(model: type[BaseModel], detail: ErrorDetails) -> str:
    place = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        return f"{_dotted(model, place)}: unknown key{_key_hint(model, place)}"
    if detail["type"] == "union_tag_invalid":
        tag, known = str(detail["ctx"]["tag"]), detail["ctx"]["expected_tags"]
        meant = hint(tag, _names(str(known)))
        return f"{_dotted(model, place)}: unknown name {tag!r}{meant}, known are {known}"
    if detail["type"] == "union_tag_not_found":
        tag, given = detail["ctx"]["discriminator"], _shown(detail["input"])
        return f"{_dotted(model, place)}: should say by {tag} which one it is (got {given})"
    if detail["type"] == "missing" and isinstance(detail["loc"][-1], int):
        return f"{_dotted(model, place[:-1])}: should hold more values (got {_shown(detail['input'])})"
    if detail["type"] == "missing":
        return f"{_dotted(model, place)}: is missing"
    if detail["type"] in KIND:
        given = detail["input"]
        example = (
            f", such as [{given}]" if KIND[detail["type"]] == LIST and isinstance(given, str | int | float) else ""
        )
        return f"{_dotted(model, place)}: should be {KIND[detail['type']]}{example} (got {_shown(given)})"
    if detail["type"] in ("too_short", "too_long"):
        most = detail["type"] == "too_long"
        count = detail["ctx"]["max_length" if most else "min_length"]
        values = f"{count} value{'' if count == 1 else 's'}"
        bound, given = "most" if most else "least", _shown(detail["input"])
        return f"{_dotted(model, place)}: should hold at {bound} {values} (got {given})"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":  # our own validators say all that is needed
        return ": ".join(filter(None, [".".join(_walk(model, place)[0]), message]))
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        meant = hint(detail["input"], _names(detail["ctx"]["expected"]))
        return f"{_dotted(model, place)}: {message[:1].lower()}{message[1:]}, not {detail['input']!r}{meant}"
    return f"{_dotted(model, place)}: {message[:1].lower()}{message[1:]} (got {_shown(detail['input'])})"


def _walk(model: type[BaseModel], place: list[str]) -> tuple[list[str], Any]:
    """Follow an error's location through the models; tags of unions are not keys and are left out."""
    keys: list[str] = []
    here: Any = model
    for part in place:
        fields = here.model_fields if isinstance(here, type) and issubclass(here, BaseModel) else None
        if fields is not None and part in fields:
            keys.append(part)
            here = _inside(fields[part])
        elif isinstance(here, dict) and part in here:
            here = here[part]
        else:
            keys.append(part)
            here = None
        if isinstance(here, dict) and len(here) == 1:
            here = next(iter(here.values()))
    return keys, here


def _inside(field: FieldInfo) -> Any:
    """The models that a field may hold: one model, or tag -> model."""
    return _chosen(field.metadata) or _models(field.annotation)


def _chosen(metadata: Iterable[Any]) -> dict[str, Any]:
    """Tag -> model of what is annotated as one of a registry."""
    return {
        name: getattr(entry, "Options", entry)
        for each in metadata
        for name, entry in getattr(each, "registry", {}).items()  # of `settings.one_of`
    }


def _models(annotation: Any) -> Any:
    """The models inside an annotation: one model, or tag -> model for a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = _chosen(getattr(annotation, "__metadata__", ()))
    for inner in getattr(annotation, "__args__", ()):
        model = _models(inner)
        if isinstance(model, dict):
            found |= model
        elif model is not None:
            name = model.model_fields.get("name")
            found[str(name.default) if name else model.__name__] = model
    return found or None


def _dotted(model: type[BaseModel], place: list[str]) -> str:
    return ".".join(_walk(model, place)[0]) or "the whole file"


def _key_hint(model: type[BaseModel], place: list[str]) -> str:
    """The key that was meant: one that belongs here, or one that belongs elsewhere, named with its place.

    Where neither is near, or only another kind of the same setting has it, the keys that belong here.
    """
    here, above = _keys_at(model, place[:-1]), tuple(_walk(model, place[:-1])[0])
    everywhere = [path for path in _paths(model) if path not in {(*above, name) for name in here}]
    elsewhere = [path for path in everywhere if path[: len(above)] != above or not above]
    others = [path[-1] for path in everywhere if above and path[:-1] == above]
    # One that is but for a letter one of those here is not meant for the one of another place.
    near = next(iter(difflib.get_close_matches(place[-1], [*here, *others], n=1, cutoff=0.85)), None)
    far = sorted({path[-1] for path in elsewhere})
    near = near or next(iter(difflib.get_close_matches(place[-1], far, n=1, cutoff=0.8)), None)
    near = near or nearest(place[-1], [*here, *others])
    if near in here:
        return f" (did you mean {near!r}?)"
    if near is not None and near not in others:
        meant = dict.fromkeys(".".join(path) for path in elsewhere if path[-1] == near)
        return f" (did you mean {' or '.join(map(repr, meant))}?)"
    own = [name for name in here if name != "name"]
    return f" ({_kind(model, place[:-1])} has {', '.join(own) or 'no options'})" if above and here else ""


def _kind(model: type[BaseModel], place: list[str]) -> str:
    """What the settings at a place are: the name of their kind, or their key."""
    name = _walk(model, place)[1].model_fields.get("name")
    return name.default if name and isinstance(name.default, str) else place[-1]


def _paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of a model and of all models in it."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        inner = _inside(field)
        for each in inner.values() if isinstance(inner, dict) else [inner] if inner else []:
            yield from _paths(each, (*above, name))


def _keys_at(model: type[BaseModel], place: list[str]) -> list[str]:
    here = _walk(model, place)[1]
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []

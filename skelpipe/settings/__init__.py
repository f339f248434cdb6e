"""Settings read from YAML and checked as a whole: every mistake is reported, with its full key and a hint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, Union

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from skelpipe.errors import BadInput, shortened
from skelpipe.settings.wording import mistakes

LONGEST_TEXT, MOST_VALUES = 1 << 16, 100_000  # the loader needs seconds for as many brackets
# What the loader raises for scalars that are none of their kind (a 13th month, an integer of 5,000 digits) and for
# what is nested too deep, beside its own errors.
NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)


class Settings(BaseModel):
    """Base of everything that is read from a recipe or a pipeline: immutable, and unknown keys are errors.

    Attributes:
        LATER: keys that came after files had been written without them. A dump leaves them out while they are at their
            defaults, so that what was made before is still of the same settings; `whole` has them.
        moot: dotted keys that something else stands in place of, which a dump leaves out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
    LATER: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        unused = [n for n in self.LATER if getattr(self, n) == fields[n].get_default(call_default_factory=True)]
        for key in self.moot if (info.context or {}).get("whole") else (*unused, *self.moot):
            *parents, last = key.split(".")
            reduce(lambda place, parent: place.get(parent, {}), parents, data).pop(last, None)
        return data

    @property
    def moot(self) -> tuple[str, ...]:
        return ()


Model = TypeVar("Model", bound=Settings)


def whole(settings: Settings) -> dict[str, Any]:
    """All of the settings as JSON has them, also those that a dump leaves out because they are not used."""
    return settings.model_dump(mode="json", context={"whole": True})


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Plain settings as (dotted key, value)."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def one_of(registry: Mapping[str, Any] | Callable[[], Mapping[str, Any]], unnamed: str | None = None) -> Any:
    """The type of a setting that is one of the `Options` in a registry, chosen by its `name`.

    A bare string stands for `{name: string}`, all other options at their defaults; where no name is given, `unnamed` is
    meant. The registry is read when the first setting is checked, not before: what other packages add to it may import
    all of ours.

    Args:
        registry: entries that have `Options`, or are themselves what may be said of them; or what gives it, where it
            is made later.
    """
    return Annotated[Any, _OneOf(registry, unnamed)]


@dataclass(frozen=True, eq=False)
class _OneOf:
    given: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    unnamed: str | None

    @property
    def registry(self) -> Mapping[str, Any]:
        return self.given() if callable(self.given) else self.given

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def named(value: Any) -> Any:
            value = {"name": value} if isinstance(value, str) else value
            return {"name": self.unnamed, **value} if self.unnamed and isinstance(value, dict) else value

        options = tuple(getattr(entry, "Options", entry) for entry in self.registry.values())
        union = Annotated[Union[options], Field(discriminator="name")] if len(options) > 1 else options[0]  # noqa: UP007
        return handler.generate_schema(Annotated[union, BeforeValidator(named)])


class Twice(yaml.constructor.ConstructorError):
    """A key that stands in a mapping twice: YAML forbids it, and PyYAML takes the last one."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            told = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if told in seen and key.tag != "tag:yaml.org,2002:merge":
                raise Twice(None, None, f"names {shortened(key.value, 60)!r} twice", key.start_mark)
            seen |= {told} - {None}
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader; numbers such as `1e-3` stay strings there and are converted later."""
    try:
        data = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", "check the path") from None
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        if isinstance(error, Twice):
            raise BadInput(where, str(error.problem), "keep one of them") from None
        raise BadInput(
            where, f"is not YAML ({shortened(str(getattr(error, 'problem', None) or error), 200)})", "correct that line"
        ) from None
    if not isinstance(data, dict):
        raise BadInput(path, "does not hold a mapping of keys to values", "compare it with a shipped one")
    return data


def _parsed(text: str) -> Any:
    """YAML by the safe loader.

    Raises:
        ValueError: it is larger than settings are, counted with its aliases written out.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError("it is longer than any settings")
    loader = _Loader(text)
    try:
        data = loader.get_single_data()
    finally:
        loader.dispose()
    found, waiting = 0, [data]  # without recursion: what refers to itself has no end
    while waiting:
        value = waiting.pop()
        found += 1
        if found > MOST_VALUES:
            raise ValueError("it holds more values than any settings")
        if isinstance(value, str) and not value.replace("\n", " ").isprintable():
            raise ValueError("it holds a control character")
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value
    return data


def override(data: dict[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Return `data` with each `key.to.it=value` (the value in YAML) put in its place."""
    data = _copy(data)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"--set {change}", "is not of the form KEY=VALUE", "write for example optimizer.lr=0.05")
        *parents, last = key.strip().split(".")
        place = data
        for parent in parents:
            inner = place.get(parent)
            if isinstance(inner, str):
                inner = {"name": inner}
            place[parent] = inner = inner if isinstance(inner, dict) else {}
            place = inner
        try:
            place[last] = _parsed(text)
        except Twice as error:
            raise BadInput(f"--set {change}", f"its value {error.problem}", "keep one of them") from None
        except NOT_YAML:
            raise BadInput(f"--set {change}", "its value is not YAML", "quote it") from None
    return data


def check(model: type[Model], data: Mapping[str, Any], where: str | Path, changes: Sequence[str] = ()) -> Model:
    """Turn a mapping, with `key.to.it=value` changes of it, into checked settings.

    Raises:
        BadInput: names every wrong key and value at once. Where the mapping is right without them, the changes are to
            blame and not `where`.
    """
    given = override(dict(data), changes)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        texts = mistakes(model, error.errors(include_url=False), given)
        count = "1 setting is wrong" if len(texts) == 1 else f"{len(texts)} settings are wrong"
        if changes and _is_right(model, data):
            where = blamed(texts, changes) or blamed([change.partition("=")[0] for change in changes], changes)
        raise BadInput(where, f"{count}: {'; '.join(texts)}", "correct them") from None


def blamed(texts: Iterable[str], changes: Iterable[str]) -> str:
    """Those of the `key=value` changes that are named by what is wrong, "key: ...", as --set options; "" for none."""
    wrong = [text.partition(":")[0] for text in texts]
    own = {change: change.partition("=")[0].strip() for change in changes}
    found = [f"--set {change}" for change, key in own.items() if any(_overlap(key, other) for other in wrong)]
    return shortened(" ".join(found), 200)


def _overlap(one: str, other: str) -> bool:
    """Whether one dotted key is the other, or lies in it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _is_right(model: type[BaseModel], data: Mapping[str, Any]) -> bool:
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, dict) else value

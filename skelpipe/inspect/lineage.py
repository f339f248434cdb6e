"""The chain of an output: what it was made of and by which commands, step by step, back to the raw files.

Each step is told by the provenance that its successor carried along, so that it is known even if it was deleted since,
and is held against what lies in its place now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, printable
from skelpipe.outputs.ancestry import BESIDE, KEPT, PROVENANCE, read_json, read_made
from skelpipe.outputs.checksums import find_damage, is_output, read_sums
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.files import file_digest
from skelpipe.outputs.one_file import read_inside
from skelpipe.recordings.datasets import DATASETS
from skelpipe.recordings.ingest import search
from skelpipe.recordings.parts import Part

DEEPEST = 50  # steps one behind another; a chain of ours has ten
UNCHANGED, CHANGED, DAMAGED, MISSING, UNKNOWN = "unchanged", "changed", "damaged", "missing", "unknown"
VERSIONS = ("skelpipe", "python", "platform")


@dataclass
class Step:
    """One output, or raw files, in a chain.

    Attributes:
        role: what it was for its successor; "" for the first.
        path: where it lay, as its successor was told; of the first, where it lies.
        digest: what it had then.
        state: "unchanged", "changed", "damaged", "missing", or "unknown" where nothing can tell.
        why: the state in words.
        made: how it was made.
        inputs: what it was made of.
        told: whether the same step stands further up with all that it was made of.
    """

    role: str
    path: str
    digest: str | None
    state: str
    why: str
    made: Mapping[str, Any] = field(default_factory=dict)
    inputs: list[Step] = field(default_factory=list)
    told: bool = False

    @property
    def kind(self) -> str:
        """What kind of output it is, or "files"."""
        return _text(self.made.get("kind")) or "files"


def follow(path: str | os.PathLike[str]) -> Step:
    """The chain of an output of ours: a folder, a file of features, a picture, or exported weights.

    Raises:
        BadInput: there is nothing there, or nothing that carries its provenance.
    """
    path = Path(path)
    made = read_provenance(path)
    digest = read_digest(path) if path.is_dir() else _text(made.get("digest"))
    if path.is_dir():
        state, why = _compared(path, digest)
    elif digest is None:
        state, why = UNCHANGED, "its provenance is inside it"
    else:
        same = file_digest(path) == digest
        state, why = (UNCHANGED, "") if same else (CHANGED, f"its bytes are not those that its {BESIDE} tells of")
    step = Step("", os.fspath(path), digest, state, why, made)
    _Walk(_map(made.get("history"))).add_inputs(step, path)
    return step


# Reading ----------------------------------------------------------------------------------------------------------


def read_provenance(path: Path) -> dict[str, Any]:
    """The provenance of an output that is there, with its history.

    Raises:
        BadInput: nothing is there, or it has none.
    """
    remedy = "give a folder that skelpipe made, or a file of 'skelpipe embed', 'plot' or 'export-weights'"
    if not path.exists():
        raise BadInput(path, "does not exist", remedy)
    if path.is_dir():
        if not is_output(path):
            raise BadInput(path, "was not made by skelpipe", remedy)
        if not (made := read_json(path / PROVENANCE)):
            raise BadInput(path / PROVENANCE, "is missing or cannot be read", "make the output anew")
        return made
    if not (made := read_inside(path)):
        raise BadInput(path, "carries no provenance", remedy)
    return made


# Following --------------------------------------------------------------------------------------------------------


class _Walk:
    """Follows a chain; `history` is what is known of all ancestors. Each is compared once, and told once."""

    def __init__(self, history: Mapping[str, Any]) -> None:
        self.history = history
        self.told: set[str] = set()
        self.compared: dict[tuple[Path | None, str | None], tuple[str, str]] = {}

    def add_inputs(self, step: Step, place: Path | None, depth: int = 0) -> None:
        """Add what a step was made of; `place` is where it lies now, or would if it were there."""
        for role, source in _map(step.made.get("inputs")).items():
            source = _map(source)
            digest, recorded = _text(source.get("digest")), _text(source.get("path")) or "?"
            found, near = _place(recorded, digest, step.made, place)
            raw = role == "raw" and digest is None
            state, why = _compared_raw(found, step.made) if raw else self._compare(found, digest)
            made = _map(self.history.get(digest or ""))
            if not made and found is not None and state in (UNCHANGED, DAMAGED):  # by an older version
                made = read_made(found, digest)
            below = Step(str(role), recorded, digest, state, why, made, told=bool(made) and digest in self.told)
            step.inputs.append(below)
            if not below.told and depth < DEEPEST:
                self.told.add(digest or "")
                self.add_inputs(below, found or near, depth + 1)

    def _compare(self, place: Path | None, digest: str | None) -> tuple[str, str]:
        if (place, digest) not in self.compared:
            self.compared[place, digest] = _compared(place, digest)
        return self.compared[place, digest]


def _place(recorded: str, digest: str | None, by: Mapping[str, Any], place: Path | None) -> tuple[Path | None, Path]:
    """Where an input lies now, at its path as it was or as far from its successor as then, and where it should lie."""
    then = Path(os.path.normpath(Path(_text(by.get("folder")) or "", recorded)))
    places = [then]
    if place is not None and (output := _text(by.get("output"))) is not None and then.is_absolute():
        places.append(Path(os.path.normpath(place.absolute() / os.path.relpath(then, output))))
    there = [each for each in places if each.exists()]
    return next((each for each in there if _digest_now(each) == digest), there[0] if there else None), places[-1]


def _digest_now(place: Path) -> str | None:
    return read_digest(place) if place.is_dir() else file_digest(place)


def _compared(place: Path | None, digest: str | None) -> tuple[str, str]:
    """An input as it is now against the digest that it had."""
    if place is None:
        return MISSING, "moved or deleted"
    now = _digest_now(place)
    if digest is None:
        return UNKNOWN, "nothing was noted to compare it by"
    if now is None and place.is_dir():
        return CHANGED, "is no longer a whole output" if is_output(
            place
        ) else "is another folder, not an output of ours"
    if now != digest:
        return CHANGED, f"what lies there now has digest {_short(now)}"
    if not place.is_dir():
        return UNCHANGED, ""
    try:
        if not read_sums(place):
            return UNCHANGED, "by its digest; made by an older version, so its bytes cannot be compared"
    except BadInput:
        pass  # told by what follows
    wrong = [(file.relative_to(place).as_posix(), what) for file, what in find_damage(place)]
    more = f", and {len(wrong) - 1} more files" if len(wrong) > 1 else ""
    return (DAMAGED, f"{wrong[0][0]} {wrong[0][1]}{more}") if wrong else (UNCHANGED, "")


def _compared_raw(place: Path | None, by: Mapping[str, Any]) -> tuple[str, str]:
    """Raw files as they are now against how many and how large they were; reading all would take as long as then."""
    raw, settings = _map(by.get("raw")), _map(by.get("settings"))
    dataset, part = _text(settings.get("dataset")), _text(settings.get("part"))
    if place is None:
        return MISSING, "moved or deleted"
    if not raw or dataset is None or dataset not in DATASETS:
        return UNKNOWN, "nothing was noted to compare them by"
    try:
        now = search(dataset, place, bool(settings.get("keep_missing")), None if part is None else Part.parse(part))
    except BadInput as error:
        return CHANGED, f"{error.where}: {error.what}"
    if (now["files"], now["bytes"]) != (raw.get("files"), raw.get("bytes")):
        return CHANGED, f"there are {now['files']:,} files of {now['bytes']:,} bytes now"
    return UNCHANGED, "as many files and bytes; 'skelpipe verify STORE RAW' compares what is in them"


# Telling ----------------------------------------------------------------------------------------------------------


def tree(step: Step) -> Iterator[str]:
    """The chain as lines of text, each step below what was made of it."""
    yield from _told(step, "", "", {})


def _told(step: Step, head: str, lead: str, above: Mapping[str, Any]) -> Iterator[str]:
    role = f"{step.role}: " if step.role else ""
    state = step.state + (f" ({step.why})" if step.why else "")
    yield printable(f"{head}{role}{step.kind} {step.path} [{_short(step.digest)}] {state}")
    if step.told:
        yield printable(f"{lead}  told above")
        return
    inner = lead + ("|  " if step.inputs else "   ")
    yield from (printable(f"{inner}{line}") for line in _facts(step.made, above))
    for below in step.inputs:
        yield from _told(below, f"{lead}+- ", lead + ("|  " if below is not step.inputs[-1] else "   "), step.made)


def _facts(made: Mapping[str, Any], above: Mapping[str, Any]) -> Iterator[str]:
    """How a step was made, in lines; versions only where they differ from those of the step above."""
    if command := _text(made.get("command")):
        yield f"$ {command}"
    seconds = made.get("seconds")
    took = f", in {seconds:,.1f} s" if isinstance(seconds, (int, float)) else ""
    seed = f", seed {made['seed']}" if "seed" in made else ""
    if made:
        yield f"finished {_text(made.get('finished')) or 'at an unknown time'}{took}{seed}"
    if differing := _differing(made, above):
        yield "with " + ", ".join(differing)
    if raw := _map(made.get("raw")):
        count, size = raw.get("files"), raw.get("bytes")
        yield f"read {count} raw files of {size} bytes, digest {_short(_text(raw.get('digest')))}"
    sessions = made.get("sessions")
    for number, session in enumerate(sessions if isinstance(sessions, list) else [], 1):
        session = {k: v for k, v in _map(session).items() if (k, v) != ("command", made.get("command"))}
        told = [f"{key.replace('_', ' ')} {session[key]}" for key in SESSION if key in session]
        yield f"session {number}: " + ", ".join([*told, *([] if "ended" in session else ["killed, or at work"])])


SESSION = (
    "command", "started", "from_epoch", "to_epoch", "device", "threads", "ranks", "state", "ended", "epochs_done",
)  # fmt: skip


def _differing(made: Mapping[str, Any], above: Mapping[str, Any]) -> list[str]:
    here, there = ({**{k: m.get(k) for k in VERSIONS}, **_map(m.get("libraries"))} for m in (made, above))
    return [f"{name} {value}" for name, value in here.items() if value is not None and there.get(name) != value]


def as_json(step: Step) -> dict[str, Any]:
    """The chain as plain values."""
    made = {} if step.told else {k: v for k, v in step.made.items() if k in KEPT and k not in ("inputs", "kind")}
    return {
        "role": step.role,
        "kind": step.kind,
        "path": step.path,
        "digest": step.digest,
        "state": step.state,
        "why": step.why,
        **({"told_above": True} if step.told else {"made": made, "inputs": [as_json(each) for each in step.inputs]}),
    }


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "no digest"


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

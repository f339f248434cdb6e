"""Whatever is written comes back exactly, and no byte string is more than a BadInput with a line number."""

import gc
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rawtext import Guarded, ntu_clip, ntu_text, pku_text, pku_values, read_ntu

from skelpipe.errors import BadInput
from skelpipe.recordings.text import ntu, pku
from skelpipe.recordings.text.ntu import parse_ntu
from skelpipe.recordings.text.pku import parse_pku

quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

numbers = st.floats(-1e6, 1e6, width=32)
formats = st.sampled_from(["{:.7g}", "{:.9g}", "{:.6f}", "{:.7e}", "{:.9E}", "{!r}", "{:+.7g}", "{:.17g}", "{:.25f}"])
tokens = st.one_of(
    st.builds(lambda form, value: form.format(value), formats, numbers),
    st.from_regex(r"[+-]?([0-9]{1,9}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-2]?[0-9])?", fullmatch=True),
)
ids = st.integers(-(2**63), 2**63 - 1)
# 75 tokens from a small drawn pool: as telling as 75 draws, and much quicker.
poses = st.builds(
    lambda pool, shift: [[pool[(3 * v + c + shift) % len(pool)] for c in range(3)] for v in range(25)],
    st.lists(tokens, min_size=1, max_size=6),
    st.integers(0, 5),
)
clips = st.lists(st.lists(st.tuples(ids, poses), max_size=2), max_size=3)


def finite(clip):
    with np.errstate(over="ignore"):
        return all(
            np.isfinite(np.float32(float(t))) for bodies in clip for _, pose in bodies for xyz in pose for t in xyz
        )


@quick
@given(clips, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(["", " ", "\t "]))
def test_random_layouts_come_back(clip, end, final, lead):
    assume(finite(clip))
    clip = [[(i if i > -(2**63) else 0, pose) for i, pose in bodies] for bodies in clip]
    text = ntu_text(clip, end, final, lead)
    parsed = parse_ntu(text.encode())
    frames, joints, row_frame, row_body = read_ntu(text)
    assert parsed.frames == frames == len(clip)
    assert parsed.joints.tobytes() == joints.tobytes()
    assert parsed.row_frame.tolist() == row_frame
    assert parsed.row_body.tolist() == row_body


@quick
@given(st.lists(tokens, min_size=1, max_size=20), st.integers(0, 3), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_random_sequences_come_back(pool, frames, end, final):
    with np.errstate(over="ignore"):
        assume(np.isfinite(np.array([float(t) for t in pool]).astype(np.float32)).all())
    rows = [[pool[(f + i) % len(pool)] for i in range(150)] for f in range(frames + 1)]
    text = (end + " ").join(" ".join(row) for row in rows) + (end if final else "")
    expected = np.array([[float(t) for t in row] for row in rows]).astype(np.float32)
    assert parse_pku(text.encode()).tobytes() == expected.tobytes()


@quick
@given(tokens, st.sampled_from(["\n", "\r\n", " \n"]))
def test_many_bytes_at_once_give_what_single_bytes_give(token, end):
    """Near the end of a file numbers are read byte by byte; blank lines after it move that end away."""
    with np.errstate(over="ignore"):
        expected = np.float32(float(token))
    assume(np.isfinite(expected))
    text = ntu_text([[(1, [[token] * 3] * 25)]], end).encode()
    assert parse_ntu(text).joints.tobytes() == np.full((1, 25, 3), expected).tobytes()
    assert parse_ntu(text + b"\n" * 200).joints.tobytes() == np.full((1, 25, 3), expected).tobytes()


joint_lines = st.one_of(
    st.text("0123456789.- \t\rE+", max_size=90),
    st.text("07.- ", max_size=24),
    st.lists(st.from_regex(r"-{0,2}[0-9]{0,2}\.{0,2}[0-9]{0,16}", fullmatch=True), max_size=13).map(" ".join),
    st.lists(st.from_regex(r"-?[0-9]\.[0-9]{1,16}", fullmatch=True), min_size=3, max_size=13).map(" ".join),
)


@settings(quick, max_examples=300)
@given(joint_lines, joint_lines, st.integers(0, 24), st.sampled_from(["\n", "\r\n"]))
def test_a_line_is_read_at_once_as_it_is_number_by_number(odd, other, place, end):
    """Whatever a line of a joint holds; blank lines behind the text move the end of the file away."""
    lines = ["0.5 -1.25 3.0625 1 2"] * 25
    lines[place], lines[(place + 1) % 25] = odd, other
    near = end.join(["1", "1", "7 0 1", "25", *lines, ""]).encode()
    found = []
    for text in (near, near + b"\n" * 200):
        try:
            found.append(parse_ntu(text).joints.tobytes())
        except BadInput as error:
            found.append(error.what if "truncated" not in error.what else "truncated")
    assert found[0] == found[1] or "truncated" in found


@pytest.mark.parametrize("digits", range(1, 19))
@pytest.mark.parametrize("sign", ["", "-"])
def test_every_length_of_a_plain_number(digits, sign):
    for whole in "0", "3", "9", "12":
        for fraction in ("9" * digits, "0" * (digits - 1) + "7", "123456789012345678"[:digits]):
            token = f"{sign}{whole}.{fraction}"
            text = ntu_text([[(1, [[token] * 3] * 25)]]).encode() + b"\n" * 200
            assert parse_ntu(text).joints.tobytes() == np.full((1, 25, 3), np.float32(float(token))).tobytes()


def survives(parse, data):
    """A parser answers with arrays or with a BadInput that names a line of the file."""
    error = None
    try:
        parsed = parse(data, "file")
    except BadInput as bad:
        error = bad
    if error is None:
        assert np.isfinite(parsed.joints if parse is parse_ntu else parsed).all()
    else:
        line = int(re.fullmatch(r"file, line (\d+)", error.where)[1])
        assert 1 <= line <= data.count(b"\n") + 1


@quick
@given(st.one_of(st.binary(max_size=400), st.text("0123456789 .-+eE\n\r\t25", max_size=400).map(str.encode)))
@pytest.mark.parametrize("parse", [parse_ntu, parse_pku])
def test_no_bytes_crash_it(parse, data):
    survives(parse, data)


WHOLE = {
    parse_ntu: ntu_clip(3, frames=2, bodies=2).encode(),
    parse_pku: pku_text(pku_values(4, 3, second=[1])).encode(),
}
edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "drop", "insert", "end"]), st.floats(0, 1), st.binary(min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=4,
)


@settings(quick, max_examples=150)
@given(edits)
@pytest.mark.parametrize("parse", [parse_ntu, parse_pku])
def test_no_damage_crashes_it(parse, edits):
    data = WHOLE[parse]
    for kind, where, new in edits:
        at = int(where * len(data))
        data = {
            "flip": data[:at] + new + data[at + len(new) :],
            "cut": data[: at // 2] + data[at:],
            "drop": data[:at] + data[at + 1 :],
            "insert": data[:at] + new + data[at:],
            "end": data[:at],
        }[kind]
    survives(parse, data)


LAST_WORDS = [b"1e", b"1e-", b"1E+", b"-", b"+", b"0.", b"-0.1", b"0.123456789012345", b"1.5e5", b"7" * 70, b"\r"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that may die")
@pytest.mark.parametrize("parse", [parse_ntu, parse_pku])
def test_not_one_byte_behind_the_text_is_read(parse, monkeypatch):
    """In a process of its own, which a byte too many ends; every prefix of a file, and with odd last words."""
    parse(WHOLE[parse])  # compiles
    for of in (ntu, pku):
        monkeypatch.setattr(of, "as_array", Guarded().array)
    lines = WHOLE[parse].splitlines(keepends=True)
    starts = [sum(map(len, lines[:n])) for n in range(min(40, len(lines)))]
    prefixes = [WHOLE[parse][:end] for end in range(0, len(WHOLE[parse]), 3)]
    texts = [
        *prefixes,
        *(WHOLE[parse][:start] + blank + word for start in starts for word in LAST_WORDS for blank in (b"", b" 1 ")),
    ]
    gc.collect()  # what other tests have left, with threads that a child does not have and would wait for
    if (child := os.fork()) == 0:
        gc.disable()
        done = 1
        try:
            for text in texts:
                survives(parse, text)
            done = 0
        finally:
            os._exit(done)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0

"""The parsers of `.skeleton` files and of PKU-MMD sequences, held against plain twins."""

from __future__ import annotations

import numpy as np
import twins
from engine import Target

from skelpipe.errors import BadInput
from skelpipe.recordings.text.ntu import parse_cut, parse_ntu
from skelpipe.recordings.text.pku import parse_pku

WORDS = [
    b"nan", b"inf", b"-inf", b"Infinity", b"1e308", b"1e400", b"-1e39", b"3.4028236e38", b"1e-320", b"1e-45", b"4.9e-324",
    b"0x1p3", b"0x10", b"+", b"-", b".", b"e", b"1e", b"1e+", b"1e3", b"+5", b"-5", b"-0", b"1_0", b"1,5", b"24", b"25", b"26",
    b"0", b"1", b"2", b"3", b"1000000000", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
    b"99999999999999999999", b"0" * 40, b"0.1234567890123456", b"123456789012345678901234567890", b"1e22", b"1e23", b"1e-22",
    b"1e-23", b"16777217", b"0." + b"0" * 60 + b"1", b"1" + b"0" * 60, b"1e99999999999999999999",
    "٣".encode(), "２".encode(), "½".encode(), b"\0", b"\r", b"\r\n", b"\n", b"\n\n", b"\t", b" ", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\x0b", b"\x0c", b"\x1a", b"\xc2\xa0", b"\xe2\x80\xa8", b"0.2181153 0.1725972 3.785547", b"0 0 0",
]  # fmt: skip


def check_ntu(data: bytes, thorough: bool) -> str:
    """What parses has one row per body and finite numbers, the twin's; what does not is a BadInput with its line."""
    if thorough:
        check_cut(data)
    try:
        parsed = parse_ntu(data, "here")
    except BadInput as error:
        assert error.where.startswith("here, line "), error
        assert len(str(error)) < 400
        if thorough:
            assert twins.parse_ntu(data) is None, f"refused ({error}), and the twin reads it"
        return f"refused: {error.what}"
    rows = len(parsed.joints)
    assert len(parsed.row_frame) == len(parsed.row_body) == rows
    if thorough:
        twin = twins.parse_ntu(data)
        assert twin is not None, "read, and the twin refuses it"
        assert parsed.frames == twin[0]
        assert parsed.joints.tobytes() == twin[1].tobytes()
        assert parsed.row_frame.tolist() == twin[2]
        assert parsed.row_body.tolist() == twin[3]
        assert np.isfinite(parsed.joints).all()
    return f"read: {min(parsed.frames, 4)} {min(rows, 4)}"


def check_cut(data: bytes) -> None:
    """A clip of PKU-MMD in a file of its own: what the other parser reads, and no more frames and bodies than it says."""
    try:
        cut = parse_cut(data, "here")
    except BadInput as error:
        assert error.where.startswith("here"), error
        assert twins.parse_ntu(data) is None, f"refused ({error}), and the twin reads it"
        return
    assert np.isfinite(cut.joints).all()
    assert len(cut.joints) == len(cut.row_frame) == len(cut.row_body)
    assert np.all(np.diff(cut.row_frame) >= 0)
    assert not len(cut.row_frame) or 0 <= cut.row_frame[0] <= cut.row_frame[-1] < cut.frames
    if (twin := twins.parse_ntu(data)) is not None:
        assert cut.joints.tobytes() == twin[1].tobytes()


def check_pku(data: bytes, thorough: bool) -> str:
    """As `check_ntu`, for lines of 150 numbers."""
    try:
        values = parse_pku(data, "here")
    except BadInput as error:
        assert error.where.startswith("here, line "), error
        assert len(str(error)) < 400
        if thorough:
            assert twins.parse_pku(data) is None, f"refused ({error}), and the twin reads it"
        return f"refused: {error.what}"
    if thorough:
        twin = twins.parse_pku(data)
        assert twin is not None, "read, and the twin refuses it"
        assert values.tobytes() == twin.tobytes()
        assert np.isfinite(values).all()
    return f"read: {min(len(values), 4)}"


# A row of a store is 300 bytes for 154 of text, twice while it is copied; a number left to Python is 32 for 5.
TARGETS = {"ntu": Target(check_ntu, WORDS, 12), "pku": Target(check_pku, WORDS, 12)}

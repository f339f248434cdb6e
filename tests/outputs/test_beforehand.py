"""Digests that are taken while an output is made are those that files have at its end."""

import hashlib
import json

import pytest

from skelpipe.errors import BadInput
from skelpipe.outputs import beforehand
from skelpipe.outputs.folders import new_folder


@pytest.fixture(autouse=True)
def large(monkeypatch):
    monkeypatch.setattr(beforehand, "LARGE", 1)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_provenance_has_the_digest_of_a_file_that_is_read_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "raw.zip").write_bytes(data := bytes(range(256)) * 9000)
    monkeypatch.setattr(beforehand, "file_digest", lambda path: pytest.fail("is read twice"))
    with new_folder(tmp_path / "out", "store", inputs={"raw": tmp_path / "raw.zip"}):
        pass
    source = json.loads((tmp_path / "out" / "provenance.json").read_text())["inputs"]["raw"]
    assert (source["digest"], source["bytes"]) == (sha256(data), len(data))


def test_a_file_that_has_changed_since_is_read_anew(tmp_path):
    one, two, gone = (tmp_path / name for name in "abc")
    for path in (one, two, gone):
        path.write_bytes(b"before")
    with beforehand.beforehand([one, two, gone, tmp_path / "none", tmp_path]) as found:
        assert found.digest(one) == sha256(b"before")
        one.write_bytes(b"after")
        gone.unlink()
        assert [found.digest(path) for path in (one, two, gone)] == [sha256(b"after"), sha256(b"before"), None]
        assert found.digest(tmp_path / "none") is None


def test_nobody_waits_for_it_where_an_output_fails(tmp_path, monkeypatch):
    with open(tmp_path / "raw.zip", "wb") as file:
        file.truncate(1 << 34)  # of zeros, which would take seconds
    with pytest.raises(BadInput, match="mine"), new_folder(tmp_path / "out", "store", inputs={"raw": file.name}):
        raise BadInput("mine", "is wrong", "mend it")
    (thread,) = [each for each in beforehand.threading.enumerate() if each.name == "digests"] or [None]
    if thread is not None:
        thread.join(60)
        assert not thread.is_alive()

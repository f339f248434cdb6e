"""Outputs that are one file: --force replaces those, and nothing else."""

import numpy as np
import pytest

from skelpipe.errors import BadInput
from skelpipe.outputs.one_file import check_file
from skelpipe.outputs.provenance import file_provenance, write_beside


def test_what_is_not_ours_is_never_replaced(tmp_path):
    check_file(tmp_path / "free.npz", force=False)
    check_file(tmp_path / "new" / "free.npz", force=True)
    (tmp_path / "mine.npz").write_bytes(b"mine")
    np.savez(tmp_path / "numbers.npz", provenance=np.array(b'{"kind": "mine"}'))
    (tmp_path / "link.pt").symlink_to(tmp_path / "nowhere")
    for name in ("mine.npz", "numbers.npz", "link.pt"):
        with pytest.raises(BadInput, match="already exists"):
            check_file(tmp_path / name, force=False)
        with pytest.raises(BadInput, match="is no output of skelpipe"):
            check_file(tmp_path / name, force=True)
    with pytest.raises(BadInput, match="is a folder"):
        check_file(tmp_path, force=True)


def test_what_is_ours_is_replaced_if_asked_for(tmp_path):
    write_beside(tmp_path / "w.pt", b"abc", "weights", {}, {})
    made = file_provenance("features", tmp_path / "f.npz", {}, {})
    np.savez(tmp_path / "f.npz", provenance=np.array(made.encode()))
    for name in ("w.pt", "f.npz"):
        check_file(tmp_path / name, force=True)
        with pytest.raises(BadInput, match="already exists"):
            check_file(tmp_path / name, force=False)

"""Writes the seeds of the corpus: `python tests/fuzz/seeds.py`. What a fuzzer found lies beside them as `found-…`."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from engine import CORPUS
from rawtext import JOINT_REST, ntu_clip, ntu_text, pku_text, pku_values

from skelpipe.recordings.synthetic import UclaClip, ucla_clip

SHORT = [["0", "1", "-2.5"], ["0.5", ".5", "1e-3"], ["0.1234567890123456789", "1e23", "7."]]


def zipped(members: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive with a fixed date."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def seeds() -> dict[str, bytes]:
    pose = [SHORT[min(v, 2)] if v < 3 else SHORT[v % 2] for v in range(25)]
    odd = ntu_text([[(1, [["1e23"] * 3] * 25)]])  # more numbers than are left to Python at once
    whole = ntu_clip(1, frames=1, bodies=2)
    values = pku_values(3, 2, second=[1])
    clip = ntu_text([[(1, pose)]])
    one = {"S001C001P001R001A001.skeleton": clip}
    flat = np.zeros((2, 3, 150), np.float32)
    points = np.zeros((1, 2, 25, 3), np.float32)
    label = (["S001C001P001R001A001.skeleton", "S001C001P002R001A002.skeleton"], [0, 1])
    annotations = [{"frame_dir": "S001C001P001R001A001", "label": 0, "keypoint": points, "total_frames": 2}]
    pyskl = {"split": {"xsub_train": ["S001C001P001R001A001"]}, "annotations": annotations}
    arrays = {"x_train.npy": npy(flat), "y_train.npy": npy(np.eye(60)[:2]), "x_test.npy": npy(flat)}
    return {
        "ntu/empty-frames": b"3\n0\n0\n0\n",
        "ntu/short": clip.replace(" " + JOINT_REST, "").encode(),
        "ntu/crlf": ntu_text([[], [(5, pose)]], end="\r\n", final=False).encode(),
        "ntu/odd": odd.replace(" " + JOINT_REST, "").encode(),
        "ntu/two-bodies": whole.encode(),
        "ntu/cut": b"2\n2\n6 1 0\n25\n" + b"0.5 1e-05 -2.0\n" * 50,  # of PKU-MMD; the second body and frame have no head
        "pku/odd": b"1e23 " * 149 + b"0\n",
        "pku/one": (" ".join(SHORT[2 if i < 3 else i % 2][i % 3] for i in range(150)) + "\n").encode(),
        "pku/two": pku_text(values).encode(),
        "pku/zeros": ("0 " * 150 + "\n" + " ".join(["-0.0"] * 150)).encode(),
        "ucla/genuine": ucla_clip(0, UclaClip(1, 1, 0, 1), (10, 10)),
        "ucla/bare": b'\xef\xbb\xbf{"skeletons": [' + b",".join([b"[" + b",".join([b"[0, 1, -2.5e0]"] * 20) + b"]"] * 2) + b"]}",
        "ucla/zeros": b'{"label": 1, "skeletons": [[' + b",".join([b"[0,0,0]"] * 20) + b"]]}",
        "ucla/empty": b'{"file_name": "a01_s01_e00_v01", "skeletons": [], "label": 1}',
        "names/ntu": b"S001C002P003R002A013",
        "names/pku1": b"0291-L",
        "names/pku2": b"A10N08-R",
        "labels/some": b"3,2,5,1\n51,5,12,2\n1,0,3,1\r\n\n7,-4,1,1",
        "labels/other": b"class;start;end\n3;2;5\n51.0 5 12 1\n1\t0\t3,\n2,0;1,0;9,0;2\n",
        "labels/bad": b"52,1,2,1\n1,5,4,1\nx,1,2,1\n1,1,99999999999,1\n",
        "lists/published": b"Training videos: \n0002-L, 0002-M, \nValidataion videos: \n0291-L, 0291-M, \n",
        "lists/part-two": b"Training videos: \r\nA01N02-L, \r\nValidation videos: \r\nA02N03-R",
        "lists/bare": b"train\n0002-L 0002-M\n# test (1)\n0291-L.txt\n",
        "archives/one": zipped(one),
        "archives/stored": zipped({"a/b/" + k: v for k, v in one.items()} | {"0.zip": b""}, zipfile.ZIP_STORED),
        "archives/bzip2": zipped(one, zipfile.ZIP_BZIP2),
        "pickles/labels-2": pickle.dumps(label, 2),
        "pickles/labels-4": pickle.dumps((label[0], np.array(label[1])), 4),
        "pickles/pyskl-0": pickle.dumps({"annotations": [annotations[0] | {"keypoint": points[:, :1]}]}, 0),
        "pickles/pyskl-5": pickle.dumps(pyskl, 5),
        "npz/one-hot": zipped(arrays | {"y_test.npy": npy(np.eye(60)[:2])}, zipfile.ZIP_STORED),
        "npz/numbers": zipped(arrays | {"y_test.npy": npy(np.arange(2))}),
        "npy/arrays": npy(np.zeros((2, 3, 2, 25, 2), np.float32)),
        "yaml/recipe": b"method: {name: moco, temperature: 0.07}\nviews: {query: [crop, {shear: {amplitude: 0.5}}]}\n",
        "yaml/pipeline": b"title: t\nsplits: [xsub60]\nrecipes: [skeletonclr]\nsweep: {epochs: [1, 2]}\nsynth: {frames: [2, 3]}\n",
    }  # fmt: skip


if __name__ == "__main__":
    for name, data in seeds().items():
        path = CORPUS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

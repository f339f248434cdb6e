"""Stands in for `skelpipe` where only the machinery around the stages is tested: writes outputs, notes its calls.

A stage's output depends on its flags and its inputs, so that a change travels through the DAG as it does in earnest.
"""

import json
import os
import shlex
import signal
import sys
from pathlib import Path

from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.folders import new_folder

stage, *words = sys.argv[1:]
with open("calls.txt", "a") as calls:
    calls.write(shlex.join([stage, *words]) + "\n")

plain, options, reads = [], {}, iter(words)
for word in reads:
    if word == "--force":
        continue
    if word.startswith("--"):
        options.setdefault(word, []).append(next(reads))
    else:
        plain.append(word)
options.pop("--threads", None), options.pop("--workers", None)

places = {"synth": 1, "ingest": 2, "prepare": 1, "pretrain": 2, "evaluate": 2}
places["join"] = len(plain) - 1
out = plain.pop(places[stage]) if stage in places else options["--out"][0]
inputs = {p: read_digest(p) for p in plain if Path(p).is_dir()}
recipe = Path(plain[0]).read_text() if stage == "pretrain" and Path(plain[0]).is_file() else ""

if stage == "pretrain" and Path("interrupt").exists():
    Path(out, "provenance.json").write_text("{}")
    Path(out, "checkpoint.pt").write_text("half-way")
    what = Path("interrupt").read_text()
    Path("interrupt").unlink()
    if what == "fail":
        sys.exit("skelpipe: clips.zarr: is damaged; remake it")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        Path("waiting").write_text(str(os.getpid()))
        signal.pause()

parts = {f"part {n}": part for n, part in enumerate(plain, 1)} if stage == "join" else None
with new_folder(out, stage, force=True, inputs=parts) as folder:
    value = {"stage": stage, "options": options, "inputs": inputs, "recipe": recipe}
    (folder / "content.json").write_text(json.dumps(value, sort_keys=True))
    if stage == "evaluate":
        # runs/<clips>/<split>/<recipe>/<stream>-s<seed>/run
        _, _, split, recipe, stream, _ = plain[0].split("/")
        metrics = {
            "recipe": recipe.partition("+")[0],
            "stream": options.get("--stream", [stream.partition("-")[0]])[0],
            "split": options.get("--split", [split])[0],
            "epochs": int(options.get("--epoch", ["9"])[0]),
            "classes": 10,
            "protocols": {protocol: {"top1": 0.5, "top5": 0.9} for protocol in options["--protocol"]},
        }
    if stage == "fuse":
        metrics = {**json.loads(Path(plain[0], "metrics.json").read_text()), "stream": "3s"}
    if stage in ("evaluate", "fuse"):
        (folder / "metrics.json").write_text(json.dumps(metrics))
    if stage == "report":
        (folder / "report.html").write_text("<p>")
print(f"{out}: made")

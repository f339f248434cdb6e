"""Which clips the page plays, that they are the right ones, and in how few bytes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_clips
from made_up import write_evaluation, write_judged

from skelpipe.cli import main
from skelpipe.evaluation.fuse import fuse
from skelpipe.layouts import LAYOUTS
from skelpipe.outputs import folders
from skelpipe.plots.compact import bones_of, compact, decoded, strip_svg
from skelpipe.plots.motion import Motion, load_motion
from skelpipe.report.collect import collect
from skelpipe.report.experiments import Catalogue
from skelpipe.report.motion import find_motion
from skelpipe.report.write import write_report


def played(root):
    found = collect([root])
    return find_motion(found, Catalogue(found.results))


def test_coordinates_come_back_to_half_a_step_and_what_was_not_seen_stays_so(clips):
    motion = load_motion(clips, "S001C001P001R001A001N0")
    joints = motion.joints.copy()
    joints[3, 0, 5] = np.nan
    small = compact(Motion("x", joints, motion.layout, motion.seconds, ""))
    back = decoded(small)
    assert back.shape == (12, 1, 25, 3)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(joints[:, :1]))
    span = np.nanmax(joints[:, 0], axis=(0, 1)) - np.nanmin(joints[:, 0], axis=(0, 1))
    assert np.nanmax(np.abs(back - joints[:, :1])) <= small["error"] * 1.01 + 1e-4
    assert small["error"] == pytest.approx(span.max() / 254 / 2, rel=1e-3)
    assert len(small["data"]) == 12 * 25 * 3 * 4 / 3


def test_long_clips_are_thinned_and_last_as_long_and_pictures_have_y_upwards():
    flat = LAYOUTS["coco17"]
    joints = np.random.default_rng(0).uniform(0, 100, (300, 1, 17, 2)).astype(np.float32)
    small = compact(Motion("x", joints, flat, 1 / 30, ""))
    assert small["shape"] == [60, 1, 17, 2]
    assert small["shape"][0] * small["seconds"] == pytest.approx(10, abs=1e-3)
    np.testing.assert_allclose(decoded(small)[:, 0, :, 1], -joints[::5, 0, :, 1], atol=0.3)
    assert strip_svg(small, bones_of(flat), 'a "b" <c>').startswith('<svg class="strip"')
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in strip_svg(small, bones_of(flat), 'a "b" <c>')
    with pytest.raises(ValueError, match="nobody"):
        compact(Motion("x", np.full((4, 1, 17, 2), np.nan, np.float32), flat, 1 / 30, ""))


@pytest.mark.parametrize("name", LAYOUTS)
def test_bones_of_every_layout_are_its_own_once_and_have_a_side(name):
    layout = LAYOUTS[name]
    bones = bones_of(layout)
    assert sorted((v, w) for v, w, _ in bones) == sorted(layout.edges)
    assert {side for *_, side in bones} <= set("lmr")
    assert any(side == "r" for *_, side in bones)


def test_best_worst_and_what_only_one_recognises(tmp_path, clips):
    # Of class c are clips 8 c to 8 c + 7; the later a clip, the surer both are of it.
    write_judged(tmp_path / "e", clips, [0, 3, 9, 17, 20], "skeletonclr")
    write_judged(tmp_path / "e", clips, [0, 9, 12], "crosnnclr")
    (split,) = played(tmp_path / "e")["splits"]
    groups = {group["title"]: [c["name"] for c in group["clips"]] for group in split["groups"]}
    names = {n: f"S001C{n % 8 % 3 + 1:03d}P{n % 4 + 1:03d}R001A{n // 8 + 1:03d}N{n}" for n in range(32)}
    assert groups == {
        "Recognised best by CrosNNCLR": [names[n] for n in (31, 23, 15, 7)],
        "Recognised worst by CrosNNCLR": [names[n] for n in (12, 0)],
        "Recognised by CrosNNCLR, not by SkeletonCLR": [names[n] for n in (20, 3)],
        "Recognised by SkeletonCLR, not by CrosNNCLR": [names[12]],
    }
    only = split["groups"][3]["clips"][0]
    assert [(v["run"], v["right"], v["taken"], v["n"]) for v in only["verdicts"]] == [
        ("SkeletonCLR", True, "eat meal/snack", 8), ("CrosNNCLR", False, "brushing teeth", 8),
    ]  # fmt: skip
    assert [v["share"] for v in only["verdicts"]] == [7 / 8, 6 / 8]
    np.testing.assert_allclose(decoded(only["motion"])[:, 0], load_motion(clips, only["name"]).joints[:, 0], atol=0.01)


def test_a_fusion_finds_its_clips_through_its_parts_and_a_moved_tree_through_the_way(tmp_path, monkeypatch):
    write_clips(tmp_path / "d" / "stores" / "c.zarr")
    monkeypatch.chdir(tmp_path / "d")
    parts = [write_judged(Path("runs"), "stores/c.zarr", [0], stream=s, folder=s) for s in ("joint", "bone")]
    fuse(parts, "runs/fused")
    shutil.rmtree(parts[0])
    shutil.rmtree(parts[1])
    assert len(played(tmp_path / "d" / "runs")["splits"]) == 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").rename(tmp_path / "moved")
    assert len(played(tmp_path / "moved" / "runs")["splits"]) == 1


def test_clips_that_are_gone_or_others_now_are_told_and_not_shown(tmp_path):
    write_clips(tmp_path / "c.zarr")
    write_judged(tmp_path / "e", tmp_path / "c.zarr")
    write_evaluation(tmp_path / "e", "aimclr", split="xview60")  # which says nothing of clips
    shutil.rmtree(tmp_path / "c.zarr")
    write_clips(tmp_path / "c.zarr", seed=1)
    told = played(tmp_path / "e")
    assert (told["splits"], len(told["gone"])) == ([], 1)
    write_report([tmp_path / "e"], tmp_path / "r", figures=[])
    page = (tmp_path / "r" / "report.html").read_text()
    assert "No motion is shown" in page
    assert "clip-values" not in page.partition("<script>\n")[0]


def test_a_clip_that_cannot_be_drawn_is_named_and_the_others_are_shown(tmp_path, clips, monkeypatch):
    def load(path, name):
        shown = load_motion(path, name)
        return replace(shown, joints=shown.joints * np.nan) if name.endswith("N31") else shown

    monkeypatch.setattr("skelpipe.report.motion.load_motion", load)
    write_judged(tmp_path / "e", clips)
    found = collect([tmp_path / "e"])
    told = find_motion(found, Catalogue(found.results))
    assert sum(len(group["clips"]) for split in told["splits"] for group in split["groups"]) == 3
    ((path, reason),) = found.skipped
    assert path == str(clips)
    assert "N31 is not shown (nobody is in it)" in reason


def test_the_command_leaves_motion_out_and_says_how_large_it_is(tmp_path, clips):
    write_judged(tmp_path / "e", clips)
    sizes = []
    for flags in ([], ["--no-motion"]):
        words = ["report", str(tmp_path / "e"), "--out", str(tmp_path / "r"), "--force", "--figure", "curves", *flags]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        page = (tmp_path / "r" / "report.html").read_text()
        sizes.append(len(page))
        assert ('<h2 id="motion">' in page) == (not flags)
        assert ("kB for 4 clips" in page) == (not flags)
    settings = json.loads((tmp_path / "r" / "provenance.json").read_text())["settings"]
    assert settings["motion"] is False
    assert sizes[0] - sizes[1] < 4 * 20_000
    assert folders.PROVENANCE in [path.name for path in (tmp_path / "r").iterdir()]

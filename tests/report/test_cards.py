"""Model cards and the means for other programs: that they say what was recorded, and nothing that was not."""

import csv
import json

import pytest
from made_up import write_evaluation, write_judged, write_run

from skelpipe.evaluation.fuse import fuse
from skelpipe.outputs import folders
from skelpipe.report.write import write_report


@pytest.fixture
def synthetic(tmp_path):
    """Clips of what `skelpipe synth` wrote, as far as provenance tells."""
    with folders.new_folder(tmp_path / "raw", "raw") as folder:
        (folder / "x").write_text("")
    made = json.loads((tmp_path / "raw" / "provenance.json").read_text())
    (tmp_path / "raw" / "provenance.json").write_text(json.dumps({**made, "command": "skelpipe synth ntu60 raw"}))
    return tmp_path / "raw"


def cards(root, out):
    write_report([root], out, figures=[])
    found = json.loads((out / "report.json").read_text())["cards"]
    assert {card["file"] for card in found} == {f"cards/{path.name}" for path in (out / "cards").iterdir()}
    return {card["title"]: (out / card["file"]).read_text() for card in found}


def test_each_trained_encoder_has_one_card_whatever_it_was_evaluated_by(tmp_path):
    runs = [write_run(tmp_path / f"run{seed}", seed=seed) for seed in range(2)]
    for seed, run in enumerate(runs):
        top1 = 0.5 + 0.1 * seed
        write_evaluation(tmp_path / "e", seed=seed, top1=top1, inputs={"run": run}, folder=f"a{seed}")
    knn = {"knn": {"top1": 0.4, "k": 1, "warnings": ["its embeddings have collapsed"]}}
    write_evaluation(tmp_path / "e", inputs={"run": runs[0]}, folder="b", protocols=knn)
    write_evaluation(tmp_path / "e", epochs=0, folder="untrained")
    told = cards(tmp_path / "e", tmp_path / "r")
    assert list(told) == [f"CrosNNCLR, joint, NTU-60 xsub, seed {seed}" for seed in range(2)]
    first = told["CrosNNCLR, joint, NTU-60 xsub, seed 0"]
    for head in ("Model", "Learnt from", "How", "Results", "Limits", "Licence of the data", "Load it"):
        assert f"\n## {head}\n" in first
    assert "Zhang et al., Cross-View Nearest Neighbor" in first
    # 50 and 60: mean 55, s = 7.07, t of one degree of freedom 12.7: 55 ± 63.5
    assert "| NTU-60 xsub | linear | 50.0 | — | 55.0 ± 7.1, n = 2 | -8.5–118.5 (Student's t" in first
    assert "| NTU-60 xsub | 1-NN | 40.0 | — | — | — |" in first
    assert "its embeddings have collapsed" in first
    assert "publisher of NTU RGB+D" in first
    assert f"model = sk.load('{runs[0]}')" in first
    assert "collapsed" not in told["CrosNNCLR, joint, NTU-60 xsub, seed 1"]


def test_what_comes_of_synthetic_recordings_says_so(tmp_path, synthetic, clips):
    write_judged(tmp_path / "e", clips, inputs={"raw": synthetic})
    (text,) = cards(tmp_path / "e", tmp_path / "r").values()
    assert "synthetic recordings in its format" in text
    assert "under no licence but skelpipe's own" in text
    assert "publisher of" not in text


def test_synthetic_recordings_are_not_called_the_benchmark(tmp_path, synthetic, clips):
    write_judged(tmp_path / "e", clips, recipe="demo_crosnnclr", inputs={"raw": synthetic})
    write_report([tmp_path / "e"], tmp_path / "r", figures=[])
    (table,) = json.loads((tmp_path / "r" / "report.json").read_text())["tables"]
    assert (table["title"], table["splits"][0]["title"]) == ("NTU-60 (synthetic)", "NTU-60 xsub (synthetic)")
    assert [column["kind"] for column in table["splits"][0]["layout"]] == ["cell"]  # none that says what was published
    assert "†" not in (tmp_path / "r" / "report.html").read_text("utf-8")
    assert "NTU-60 xsub (synthetic)" in (tmp_path / "r" / "table.tex").read_text()
    for name in ("report.csv", "table.csv"):
        (row,) = csv.DictReader((tmp_path / "r" / name).open(newline=""))
        assert row.get("synthetic") == "True" or row["table"] == "NTU-60 (synthetic)"


def test_a_card_says_the_positives_and_where_they_never_began(tmp_path):
    positives = {"name": "cross_view", "form": "equation", "nn_start_epoch": 40}
    recipe = {"method": {"name": "skeletonclr", "queue_size": 64}, "positives": positives}
    run = {"seed": 0, "stream": "joint", "recipe_settings": recipe}
    write_evaluation(tmp_path / "e", "small_crosnnclr", epochs=40, run=run)
    (text,) = cards(tmp_path / "e", tmp_path / "r").values()
    text = text.replace("\\", "")
    never = "its neighbours never began (nn_start_epoch 40, 40 epochs): it is SkeletonCLR"
    assert "- method: CrosNNCLR (recipe small_crosnnclr): skeletonclr with positives cross_view\n" in text
    assert f"- positives: cross_view (form equation, nn_start_epoch 40); {never}\n" in text
    assert "- settings of the method: queue_size 64\n" in text
    assert never in (tmp_path / "r" / "report.html").read_text()
    write_evaluation(tmp_path / "f", "small_crosnnclr", epochs=41, run=run)
    (text,) = cards(tmp_path / "f", tmp_path / "s").values()
    assert "never began" not in text


def test_a_fusion_has_a_card_and_counts_as_measured_whatever_its_weights(tmp_path):
    parts = []
    for stream in ("joint", "motion", "bone"):
        folder = write_evaluation(tmp_path / "e", "small_skeletonclr", stream, "nw-ucla-xview", dataset="nw-ucla")
        parts.append(str(folder))
    fuse(parts, tmp_path / "e" / "fused", weights=[0.6, 1.0, 0.4])
    told = cards(tmp_path / "e", tmp_path / "r")
    (text,) = (text for name, text in told.items() if "3s (weights" in name)
    assert f"- stream motion: weight 1, {parts[1]}" in text.replace("\\", "")
    assert f"sk.load('{tmp_path / 'e' / 'fused'}')" in text
    (table,) = json.loads((tmp_path / "r" / "report.json").read_text())["tables"]
    assert not [line for line in table["missing"]["results"] if "no 3s" in line]


def test_names_cannot_break_a_card_or_its_file(tmp_path):
    evil = "<script>|../../x\n# y"
    for folder in ("a", "b"):
        write_evaluation(tmp_path / "e", evil, folder=folder, run={"note": folder}, inputs={"run": tmp_path})
    told = cards(tmp_path / "e", tmp_path / "r")
    assert len(list((tmp_path / "r" / "cards").iterdir())) == 1
    for text in told.values():
        assert "<script" not in text
        assert "\n# y" not in text


def test_means_have_a_row_for_each_cell_with_their_interval_and_what_was_published(tmp_path):
    for seed, top1 in enumerate((0.70, 0.72, 0.77)):
        write_evaluation(tmp_path / "e", seed=seed, top1=top1)
    write_evaluation(tmp_path / "e", "=mine", top1=0.3)
    write_report([tmp_path / "e"], tmp_path / "r", figures=[])
    ours, mine = csv.DictReader((tmp_path / "r" / "table.csv").open(newline=""))
    assert [float(ours[key]) for key in ("mean", "std", "n", "published")] == pytest.approx(
        [0.73, 0.0013**0.5, 3, 73.2]
    )
    half = 4.302653 * (0.0013 / 3) ** 0.5
    assert [float(ours[k]) for k in ("interval_low", "interval_high")] == pytest.approx([0.73 - half, 0.73 + half])
    assert (ours["seeds"], ours["interval_method"]) == ("0 1 2", "Student's t over 3 repetitions")
    assert float(ours["difference_points"]) == pytest.approx(-0.2)
    assert ours["published_source"] == json.loads((tmp_path / "r" / "report.json").read_text())["sources"][0]
    assert (mine["recipe"], mine["n"], mine["std"], mine["interval_low"]) == ("'=mine", "1", "", "")

"""The measuring itself: the counts of arithmetic and traffic, the clock, and that every row comes out."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import TINY
from recorded import TapeRecorder
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from skelpipe import cli
from skelpipe.bench import stages, table, timing
from skelpipe.bench import steps as training_steps
from skelpipe.bench.stages import Bench
from skelpipe.bench.steps import Trainer
from skelpipe.bench.table import Scale
from skelpipe.bench.timing import Roofline, measure, time_calls
from skelpipe.bench.work import encoder_work, limit, step_work
from skelpipe.clips.batches import Batch
from skelpipe.encoders.plain import plainly
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network
from skelpipe.training.recipe import load_recipe

SCRIPTS = Path(__file__).parent
BATCH, SHAPE = 8, (3, 50, 25)
TOY = Scale(
    actions=2,
    subjects=4,
    seconds=0.002,
    batch=BATCH,
    recipes=("skeletonclr", "aimclr"),
    overrides=tuple(change for change in TINY if not change.startswith("batch_size")),
    embed=16,
    features=0.002,
)


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# ---- what is counted. Tensors on the device "meta" have shapes but no numbers, so nothing is computed here


def test_the_encoders_arithmetic_is_what_torch_counts():
    options = STGCNOptions()
    encoder = STGCN(KINECT_V2, options).to("meta").train()
    with FlopCounterMode(display=False) as counted:
        feature = encoder(torch.empty(BATCH, *SHAPE, 2, device="meta"))
    forward, backward = (work * (2 * BATCH) for work in encoder_work(options, KINECT_V2, 50, 4))
    assert forward.flop == pytest.approx(counted.get_total_flops(), rel=1e-3)
    with FlopCounterMode(display=False) as counted:
        feature.sum().backward()
    assert backward.flop == pytest.approx(counted.get_total_flops(), rel=2e-2)  # torch leaves the clip's gradient out


def test_the_encoders_traffic_is_that_of_its_blocks():
    options = STGCNOptions(width=4, features=24, time_kernel=3)
    encoder = STGCN(KINECT_V2, options).to("meta").train()
    numbers = dict.fromkeys("xyz", 0)

    def count(name):
        def hook(module, inputs):
            numbers[name] += inputs[0].numel()

        return hook

    for block in encoder.blocks:
        for name, module in (("x", block), ("y", block.spatial_norm), ("z", block.temporal_norm)):
            module.register_forward_pre_hook(count(name))
    encoder(torch.empty(1, *SHAPE, 1, device="meta"))
    x, y, z = numbers.values()
    forward, backward = encoder_work(options, KINECT_V2, 50, 2)
    assert forward.bytes == 2 * (2 * x + 2 * y + 3 * z)
    assert backward.bytes == 2 * (2 * x + 4 * y + 5 * z)


@pytest.mark.parametrize("name", ["skeletonclr", "crosnnclr", "aimclr", "crosnnclr_star", "stgcn_supervised"])
def test_a_steps_arithmetic_is_what_torch_counts(name, monkeypatch):
    monkeypatch.setattr(Network, "precision", lambda self, x: nullcontext())  # "meta" knows no autocast
    recipe = load_recipe(name, [f"batch_size={BATCH}"])
    method = recipe.build_method(KINECT_V2, 60).to("meta").train()
    views = {view: torch.empty(BATCH, *SHAPE, 2, device="meta") for view in recipe.views}
    with FlopCounterMode(display=False) as counted:
        loss, _ = method(Batch(views, torch.zeros(BATCH, dtype=torch.int64, device="meta")), recipe.epochs)
        loss.backward()
    work = step_work(recipe, KINECT_V2, 50, BATCH, 4)
    assert work.flop == pytest.approx(counted.get_total_flops(), rel=1e-2)


def test_half_the_bytes_leave_the_products_with_the_queue_as_they_are():
    recipe = load_recipe("skeletonclr")
    whole, half = (step_work(recipe, KINECT_V2, 50, 128, number) for number in (4, 2))
    queue = 2 * 4 * 32768 * (128 + 2 * 128)
    assert whole.flop == half.flop
    assert whole.bytes - queue == pytest.approx(2 * (half.bytes - queue))


def test_what_bounds_a_step():
    least = Roofline(flop=1e12, bytes=1e9).least(timing.Work(flop=2e10, bytes=1e7))
    assert least == pytest.approx((0.02, 0.01))
    assert limit(least, 0.03) == "arithmetic (20.0 ms)"
    assert limit(least[::-1], 0.03) == "memory (20.0 ms)"
    assert limit(least, 0.05).startswith("overheads: arithmetic (20.0 ms)")


# ---- the clock


def test_the_best_round_counts_and_the_warm_up_does_not():
    durations = iter([100, 5, *[5, 4, 6, 5, 5]])
    now = 0

    def call():
        nonlocal now
        now += next(durations)

    assert measure(call, 25, clock=lambda: now) == 4
    assert next(durations, None) is None


def test_a_long_call_is_timed_once():
    calls = []
    assert measure(lambda: calls.append(1), 1, clock=lambda: 10 * len(calls)) == 10
    assert len(calls) == 2


def test_time_calls_divides_by_the_number_of_calls():
    calls = []
    assert time_calls(lambda: calls.append(1), 4, clock=lambda: 3 * len(calls)) == 3


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (1.2345, "1.23"), (123.4, "123"), (12345, "12,345"), (0, "0")]
)
def test_figures_have_three_digits(value, text):
    assert table.figure(value) == text


# ---- the rows


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts many processes, which a busy machine makes wait
def test_every_row_is_there_and_finite(tmp_path, monkeypatch):
    monkeypatch.setattr(training_steps, "POOL", 64)
    monkeypatch.setattr(stages, "VIEWS_AT_ONCE", 16)
    monkeypatch.setattr(table, "QUICK", TOY)
    before = torch.get_num_threads()
    out = tmp_path / "bench.json"
    result = CliRunner().invoke(cli.main, ["bench", "--quick", "--threads", "1", "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == before
    found = json.loads(out.read_text())
    places = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    steps = [
        f"training step, {name}, {place}, {precision}"
        for place in places
        for name in TOY.recipes
        for precision in ("fp32", "bf16")
    ]
    expected = [
        "parse, one core", "ingest, the command", "prepare, one core", "prepare, the command",
        "normal view, one core", "extreme view, one core", "ready batches, skeletonclr", "ready batches, aimclr",
        *steps, f"embed, {places[-1]}", "predict one window of 50 frames, one body, one core",
        "predict one window of 50 frames, 2 bodies, one core", f"predict, {places[-1]}",
        "linear protocol", "start of skelpipe --help", "start of skelpipe inspect",
    ]  # fmt: skip
    assert len(found["rows"]) == len(expected)
    for row, stage in zip(found["rows"], expected, strict=True):
        assert row["stage"].startswith(stage)
        assert math.isfinite(row["speed"])
        assert row["speed"] > 0
        assert math.isfinite(row["share"])
        assert row["share"] > 0
    assert all(value > 0 for value in found["ceilings"].values())
    assert {"threads": 1, "torch": torch.__version__}.items() <= found["machine"].items()


def test_the_table_tells_the_machine_and_every_row():
    machine = timing.Machine("some CPU", 2, 1, "2.9", None, 3.5)
    row = table.Row("parse, one core", 512.3, "MB/s", 0.25, "reading the files, 2,000 MB/s", "digits")
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(table.table(table.Report(machine, [row], notes=["a note"])))
    text = console.export_text()
    assert text.splitlines()[0] == "2 cores (some CPU), 1 threads, torch 2.9, no GPU, load 3.5"
    assert "512 MB/s" in text
    assert "25%" in text
    assert text.rstrip().endswith("a note")


def test_a_command_that_fails_is_told(tmp_path):
    run = Bench(tmp_path, TOY, 1)
    with pytest.raises(BadInput, match=r"skelpipe ingest: failed: skelpipe: .*nowhere"):
        run.command("ingest", "ntu60", tmp_path / "nowhere", tmp_path / "store")


def test_a_report_that_cannot_be_written_is_told(tmp_path):
    report = table.Report(timing.Machine("", 1, 1, "", None, 0.0))
    with pytest.raises(BadInput, match="cannot be written"):
        table.write_report(report, tmp_path / "no" / "folder.json")


# ---- the scripts

PEER = """
import torch
from torch import nn
from torchlight import import_class

class SkeletonCLR(nn.Module):
    def __init__(self, base_encoder, feature_dim, queue_size, **options):
        super().__init__()
        self.encoder = import_class(base_encoder)(feature_dim)
        self.K = queue_size
        self.register_buffer("queue", torch.randn(feature_dim, queue_size))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def update_ptr(self, count):
        self.queue_ptr[0] = (self.queue_ptr[0] + count) % self.K

    def _dequeue_and_enqueue(self, keys):
        self.queue[:, keys.device.index :] = 0

    def forward(self, im_q, im_k):
        q, k = self.encoder(im_q), self.encoder(im_k).detach()
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone()], dim=1)
        self._dequeue_and_enqueue(k)
        return logits, torch.zeros(len(q), dtype=torch.long).cuda()
"""
PEER_ENCODER = """
from torch import nn
def Model(size):
    return nn.Sequential(nn.Flatten(), nn.Linear(7500, size))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts many processes, which a busy machine makes wait
def test_the_gpu_script_runs_on_a_cpu_without_the_packages_it_does_without(tmp_path):
    (tmp_path / "peer" / "net").mkdir(parents=True)
    (tmp_path / "peer" / "net" / "__init__.py").write_text("")
    (tmp_path / "peer" / "net" / "skeletonclr.py").write_text(PEER)
    (tmp_path / "peer" / "net" / "st_gcn.py").write_text(PEER_ENCODER)
    absent = ("zarr", "rich", "click", "pandas", "pyarrow", "h5py", "matplotlib", "sklearn", "snakemake", "tensorboard")
    out = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--tiny", "--steps", "2", "--modes", "eager", "graphs"]
    words += ["--recipes", "skeletonclr", "crosnnclr_star"]
    words += ["--peer", str(tmp_path / "peer"), "--json", str(out)]
    code = f"import sys, runpy; sys.modules.update(dict.fromkeys({absent!r})); sys.argv[1:] = {words!r}; "
    code += f"runpy.run_path({str(SCRIPTS / 'gpu.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *ours, theirs = json.loads(out.read_text())["rows"]
    configurations = [(n, p, "eager") for n in ("skeletonclr", "crosnnclr_star") for p in ("fp32", "bf16")]
    assert {row["bound"] for row in ours if row["mode"] == "graphs"} == {"only a GPU records steps"}
    ours = [row for row in ours if row["mode"] != "graphs"]
    assert [(row["method"], row["precision"], row["mode"]) for row in ours] == configurations
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [name.strip() for name in lines[0].strip("| ").split("|")] == list(script("gpu").COLUMNS)
    assert len(lines) == 2 + 8 + 1
    assert "torch" in done.stdout.split(lines[-1])[1].split("; batches of 8.")[0]
    for row in ours:
        assert all(row[key] > 0 for key in ("step", "loaded", "resident", "least", "epochs_per_hour"))
        assert row["memory"] >= 0  # in one process none need be more than of those before
        assert row["bound"].startswith(("CPU", "loader"))
    assert theirs["method"] == "skeletonclr, peer"
    assert theirs["step"] > 0
    assert [row["peer"] for row in ours] == [theirs["step"]] * 2 + [None] * 2


def test_the_gpu_script_measures_all_modes(monkeypatch, capsys):
    """With a compiler that only traces, and a recorder that plays a GPU's part."""
    gpu = script("gpu")
    monkeypatch.setattr(gpu, "backend_for", lambda mode: None if mode == "graphs" else "eager")
    monkeypatch.setattr(gpu, "recorder_for", lambda device: TapeRecorder())
    words = ["--device", "cpu", "--tiny", "--steps", "2", "--recipes", "skeletonclr", "--precisions", "fp32"]
    with plainly():
        rows = gpu.main([*words, "--modes", "eager", "compiled", "--loaders", "resident"])
        rows += gpu.main([*words, "--modes", "graphs"])
    assert [row.mode for row in rows] == ["eager", "compiled", "graphs"]
    assert all(row.step > 0 and row.resident > 0 for row in rows)
    assert [row.loaded is None for row in rows] == [True, True, False]
    monkeypatch.setattr(gpu, "recorder_for", lambda device: TapeRecorder(fail=0))
    with plainly():
        assert gpu.main([*words, "--modes", "graphs"])[0].bound.startswith("does not work: the capture was")
    left = gpu.main([*words, "--within", "1e-9"])
    assert {row.bound for row in left} == {"left out, as the time was up"}
    assert "with loading" not in capsys.readouterr().out.rpartition("| method")[2]


def test_of_several_rounds_the_fastest_is_kept():
    gpu = script("gpu")
    first = [gpu.Row("a", "", "", step=3, memory=1, peer=9), gpu.Row("b", "", "", step=5, peer=9)]
    second = [gpu.Row("a", "", "", step=4, memory=2, peer=8), gpu.Row("b", "", "", bound="left out", peer=8)]
    assert gpu.better([], first) == first
    assert [(row.step, row.memory, row.peer) for row in gpu.better(first, second)] == [(3, 1, 8), (5, None, 8)]


def test_who_is_waited_for():
    gpu = script("gpu")
    cpu = torch.device("cpu")
    assert gpu.waited_for(gpu.Row("", "", "", step=10, loaded=10.5), 20, cpu).startswith("CPU; ")
    assert gpu.waited_for(gpu.Row("", "", "", step=10, loaded=20), 20, cpu).startswith("loader; ")
    assert gpu.waited_for(gpu.Row("", "", "", step=10, loaded=20), 5, cpu).startswith("CPU, disturbed")


def test_the_peers_modules_leave_nothing_behind(tmp_path):
    gpu = script("gpu")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "st_gcn.py").write_text("Model = 3")
    with gpu.peer_modules(tmp_path):
        from torchlight import import_class

        assert import_class("net.st_gcn.Model") == 3
    assert not {"net", "net.st_gcn", "torchlight"} & set(sys.modules)
    assert str(tmp_path) not in sys.path


def test_the_peers_logits_become_the_papers_losses():
    gpu = script("gpu")
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    positives = torch.tensor([[1.0, 0.0, 1.0]])
    extreme, dropped = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    target = torch.tensor([[0.0, 0.5, 0.5]])

    def model(*views, nnm):
        return logits, positives, extreme, dropped, target

    log_sum = math.log(math.exp(2) + math.exp(1) + 1)
    mined = log_sum - (2 + 0) / 2
    d3m = (math.log(4) + (math.log(4) + math.log(2)) / 2) / 2
    views = dict.fromkeys(("extreme", "query", "key"))
    assert float(gpu.aimclr_loss(model, views)) == pytest.approx(mined + d3m)


def test_growth_tells_what_is_linear_and_what_is_flat():
    growth = script("growth")

    def size(clips, ingest, embed):
        cheap = growth.Cost(1, clips * 1e-3, 1e8)
        costs = {"ingest": ingest, "prepare": cheap, "load": cheap, "prepare isc": ingest, "embed": embed}
        return growth.Size(clips, 1, 15_000 * clips, 20_000 * clips, costs)

    cost = growth.Cost
    sizes = [
        size(1000, cost(1, 10, 3e8), cost(1, 1, 1e8)),
        size(2000, cost(1, 11, 4e8), cost(1, 2, 1e8)),
        size(4000, cost(1, 13, 6e8), cost(1, 6, 1e8)),
    ]
    ingest, prepare, load, isc, embed = growth.verdicts(sizes)
    assert ingest.startswith("ingest: CPU ms per further clip 1.00, 1.00 (linear); bytes per further clip 100,000")
    assert ingest.endswith("BEYOND 2 GB")  # 0.6 GB and 100,000 bytes for each of 110,480 further clips
    assert prepare.endswith("0.10 GB at 114,480 clips, within 2 GB")
    assert "(linear)" in load
    assert isc.startswith("prepare isc: ")
    assert isc.endswith("BEYOND 2 GB")
    assert "1.00, 2.00 (NOT linear)" in embed
    store, clips = growth.store_sizes(sizes[-1])
    assert "0.85 GB for NTU-60's 56,578 clips; the goal of 1.0 GB is reached" in store
    assert "1.13 GB" in clips
    assert "MISSED" in clips


def test_growth_counts_the_memory_and_time_of_children():
    growth = script("growth")
    work = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    hold = f"x = bytearray(60_000_000); {work}"
    parent = f"import subprocess, sys; y = bytearray(40_000_000); subprocess.run([sys.executable, '-c', {hold!r}])"
    cost = growth.watch([sys.executable, "-c", parent])
    assert cost.cpu > 0.3
    assert cost.wall > 0.3
    assert cost.memory > (1e8 if sys.platform == "linux" else 6e7)


def test_a_stage_that_fails_ends_growth():
    growth = script("growth")
    with pytest.raises(SystemExit, match="failed"):
        growth.watch([sys.executable, "-c", "raise SystemExit(3)"])


def test_growth_runs_every_stage_before_it_measures_any(tmp_path, monkeypatch):
    growth = script("growth")
    ran = []

    def watch(command):
        ran.append(len(list(command[5].iterdir())) if command[3] == "ingest" else None)
        return growth.Cost(1, 1, 1e6)

    monkeypatch.setattr(growth, "watch", watch)
    (size,) = growth.main(["--sizes", "0.04", "--folder", str(tmp_path)])
    others = [None] * 4  # prepare, load, pretrain, embed
    assert ran == [growth.WARM, *others, size.clips, *others]
    assert size.clips > growth.WARM
    assert not list(tmp_path.iterdir())


def test_the_peer_script_says_what_is_missing_before_it_measures(tmp_path, monkeypatch):
    peer = script("peer")
    with pytest.raises(SystemExit, match=r"is no checkout of AimCLR, which has tools/ntu_gendata\.py, "):
        peer.main([str(tmp_path)])
    for name in peer.USED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(peer, "NEEDED", {"sys": "there", "no_such_module": "opencv-python-headless"})
    with pytest.raises(SystemExit, match="AimCLR needs what is not installed: pip install opencv-python-headless$"):
        peer.main([str(tmp_path)])


def test_the_peer_script_shows_what_a_program_that_fails_has_printed(tmp_path, capfd):
    peer = script("peer")
    peer.run(tmp_path, "-c", "import skelpipe")
    with pytest.raises(SystemExit) as failed:
        peer.run(tmp_path, "-c", "for n in range(99):\n    print(n)\nimport no_such_module", "word")
    assert str(failed.value).startswith("python -c word: failed with status 1\n")
    assert str(failed.value).endswith("No module named 'no_such_module'")
    assert "    98\n" in str(failed.value)
    assert "    50\n" not in str(failed.value)
    with pytest.raises(SystemExit, match="has failed"):
        peer.seconds_apart(lambda: 1 / 0)
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts many processes, which a busy machine makes wait
@pytest.mark.soak
def test_growth_measures_every_stage(tmp_path, capsys):
    growth = script("growth")
    words = ["--sizes", "0.03", "--recipe", "demo_skeletonclr", "--batch", "4", "--workers", "1"]
    (size,) = growth.main([*words, "--folder", str(tmp_path)])
    assert size.clips == 34
    assert list(size.costs) == ["ingest", "prepare", "load", "embed"]
    assert all(cost.cpu > 0 and cost.memory > 1e6 for cost in size.costs.values())
    assert 0 < size.store < size.text
    assert "for NTU-60's 56,578 clips" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_trainer_takes_the_step_of_pretraining():
    recipe = load_recipe("skeletonclr", TINY)
    trainer = training_steps.build_trainer(recipe, torch.device("cpu"), "fp32")
    assert isinstance(trainer, Trainer)
    batches = training_steps.build_batches(recipe, torch.randn(16, *SHAPE, 2).numpy(), torch.device("cpu"), 1)
    batch = training_steps.resident_batch(batches)
    torch.manual_seed(0)
    twin = recipe.build_method(KINECT_V2, 60).train()
    twin.load_state_dict(trainer.method.state_dict())
    sgd = recipe.build_optimizer(twin)
    for step in (lambda: trainer.step(batch), lambda: take(twin, sgd, batch, recipe.epochs)):
        torch.manual_seed(1)
        step()
    for mine, theirs in zip(trainer.method.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def take(method, sgd, batch, epoch):
    loss, _ = method(batch, epoch)
    loss.backward()
    sgd.step()

"""The timeline of predictions: which spans, rows and ticks there are, and that many windows can be drawn."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from skelpipe.plots.style import png_bytes, save_figure
from skelpipe.plots.timeline import COLOURS, OTHER, ROWS, timeline_figure

NAMES = ["sit", "stand", "wave $ twice", "jump"]


def windows(labels, window=60, hop=60, classes=4, sure=0.7):
    """(start, stop, probability) of windows whose likeliest classes are `labels`."""
    start = np.arange(len(labels)) * hop
    probability = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    probability[np.arange(len(labels)), labels] = sure
    return start, start + window, probability


def rows_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def middle(path):
    """The row that a bar is in."""
    return round((path.vertices[:, 1].min() + path.vertices[:, 1].max()) / 2)


def spans(axes):
    """{row: [(left, right)]} of the bars of a panel."""
    found = {}
    for bars in axes.collections:
        for path in bars.get_paths():
            left, right = path.vertices[:, 0].min(), path.vertices[:, 0].max()
            found.setdefault(middle(path), []).append((left, right))
    return found


def colours(axes):
    return {middle(bars.get_paths()[0]): to_hex(bars.get_facecolor()[0])
            for bars in axes.collections}  # fmt: skip


def drawn(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Image.open(io.BytesIO(png_bytes(figure, dpi=50)))


def test_neighbours_of_one_class_are_one_span_and_rows_stand_as_they_appear():
    figure = timeline_figure(*windows([2, 2, 0, 0, 0, 2]), NAMES)
    panel, confidence = figure.axes
    assert rows_of(panel) == ["wave $ twice", "sit"]
    assert spans(panel) == {0: [(0, 120), (300, 360)], 1: [(120, 300)]}
    assert [text.get_text() for text in panel.texts] == ["70%"] * 3
    assert colours(panel) == {0: COLOURS[0].lower(), 1: COLOURS[1].lower()}
    assert confidence.get_xlabel() == "frame"
    assert np.nanmin(confidence.lines[0].get_ydata()) == np.nanmax(confidence.lines[0].get_ydata()) == 0.7
    assert drawn(figure).width > 100


def test_a_moment_belongs_to_the_window_whose_centre_is_nearest():
    panel = timeline_figure(*windows([0, 0, 1, 1], hop=20), NAMES).axes[0]
    assert spans(panel) == {0: [(0, 60)], 1: [(60, 120)]}  # centres 30, 50, 70, 90


def test_a_gap_between_windows_stays_empty():
    figure = timeline_figure(np.array([0, 200]), np.array([60, 260]), windows([0, 0])[2], NAMES)
    assert spans(figure.axes[0]) == {0: [(0, 60), (200, 260)]}
    line = figure.axes[1].lines[0]
    assert np.isnan(line.get_ydata()[np.searchsorted(line.get_xdata(), 60, "right") :]).any()
    tint = figure.axes[0].images[0].get_array()
    assert tint[0, tint.shape[1] // 2, 3] == 0


def test_the_tint_tells_the_probability_of_each_row():
    tint = timeline_figure(*windows([0, 1], sure=0.4), NAMES).axes[0].images[0].get_array()
    left, right = tint[:, 10, 3], tint[:, -10, 3]
    assert left.tolist() == pytest.approx([0.2, 0.1])
    assert right.tolist() == pytest.approx([0.1, 0.2])


def test_a_short_peak_among_thousands_is_seen():
    labels = np.zeros(5000, int)
    labels[2500] = 1
    figure = timeline_figure(*windows(labels), NAMES)
    panel = figure.axes[0]
    ((left, right),) = spans(panel)[1]
    assert left == 150_000
    assert right - left > 100
    assert panel.images[0].get_array()[1, :, 3].max() == pytest.approx(0.35)
    assert len(figure.axes[1].lines[0].get_xdata()) <= 300
    assert drawn(figure).height < 500


def test_classes_of_the_least_time_share_a_row():
    labels = np.repeat(np.arange(20), np.arange(20, 0, -1))[::-1]
    figure = timeline_figure(*windows(labels, classes=30), [f"class {n}" for n in range(30)])
    panel = figure.axes[0]
    assert rows_of(panel) == [f"class {n}" for n in range(ROWS - 2, -1, -1)] + ["9 other classes"]
    assert spans(panel)[ROWS - 1] == [(0, sum(range(1, 10)) * 60)]
    assert colours(panel)[ROWS - 1] == OTHER
    assert len(rows_of(timeline_figure(*windows(range(12), classes=12), list("abcdefghijkl")).axes[0])) == 12


def test_windows_that_are_none_have_a_row_of_their_own():
    figure = timeline_figure(
        *windows([0, 0, 3, 0]), NAMES, none=np.array([False, False, True, False]), called="no class"
    )
    panel = figure.axes[0]
    assert rows_of(panel) == ["sit", "no class"]
    assert spans(panel) == {0: [(0, 120), (180, 240)], 1: [(120, 180)]}
    assert rows_of(timeline_figure(*windows([0]), NAMES, none=np.array([True])).axes[0]) == ["none"]


def test_truth_is_a_row_in_the_colours_of_the_classes():
    truth = [(-60, 100, "stand"), (100, 180, 0), (180, 400, "fish"), (400, 410, "jump")]
    figure = timeline_figure(*windows([0, 1, 1]), NAMES, truth=truth)
    above, panel, _ = figure.axes
    assert rows_of(above) == ["labelled"]
    assert [to_hex(bars.get_facecolor()[0]) for bars in above.collections] == [
        COLOURS[1].lower(), COLOURS[0].lower(), OTHER, OTHER,
    ]  # fmt: skip
    assert [text.get_text() for text in above.texts] == ["stand", "sit", "fish"]  # the last has no room
    assert panel.get_xlim() == (-60, 410)


def test_persons_are_panels_with_the_same_rows():
    start, stop, probability = windows([0, 1, 0, 2])
    figure = timeline_figure(start, stop, probability, NAMES, person=["b", "a", "b", "a"])
    upper, _, lower, _ = figure.axes
    assert [axes.get_title(loc="left") for axes in (upper, lower)] == ["person b", "person a"]
    assert rows_of(upper) == rows_of(lower) == ["sit", "stand", "wave $ twice"]
    assert spans(upper) == {0: [(0, 60), (120, 180)]}
    assert spans(lower) == {1: [(60, 120)], 2: [(180, 240)]}
    many = timeline_figure(*windows([0] * 30), NAMES, person=range(30))
    assert len(many.axes) == 16
    assert "22 further persons are not drawn" in many.texts[1].get_text()


@pytest.mark.parametrize(
    ("frames", "fps", "unit", "ticks"),
    [
        (60, 30, "time (s)", "0 0.25 0.5 0.75 1 1.25 1.5 1.75 2"),
        (600, 30, "time (s)", "0 5 10 15 20"),
        (3600, 12, "time (min:s)", "0:00 1:00 2:00 3:00 4:00 5:00"),
        (432_000, 30, "time (h:min)", "0:00 0:30 1:00 1:30 2:00 2:30 3:00 3:30 4:00"),
        (2000, None, "frame", None),
    ],
)
def test_the_axis_is_in_units_that_can_be_read(frames, fps, unit, ticks):
    figure = timeline_figure(np.array([0]), np.array([frames]), np.ones((1, 4)) / 4, NAMES, fps=fps)
    below = figure.axes[-1]
    assert below.get_xlabel() == unit
    if ticks:
        assert " ".join(label.get_text() for label in below.get_xticklabels()) == ticks
        assert below.get_xticks()[-1] == pytest.approx(frames)


@pytest.mark.parametrize("count", [0, 1, 5, 300, 301, 5000])
def test_any_number_of_windows_can_be_drawn(count, tmp_path):
    draw = np.random.default_rng(count)
    probability = draw.dirichlet(np.full(60, 0.05), count)
    start = np.arange(count) * 30
    names = [f"a class of a very long name, number {n}" for n in range(60)]
    person = np.arange(count) % 2
    first, again = (
        timeline_figure(start, start + 60, probability, names, fps=30, title="t" * 200, person=person) for _ in range(2)
    )
    image = drawn(first)
    assert min(image.size) > 60
    assert np.array_equal(np.asarray(image), np.asarray(drawn(again)))
    save_figure(first, tmp_path / "a.png", dpi=40)
    assert (tmp_path / "a.png").stat().st_size > 1000

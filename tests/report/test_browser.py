"""The page in a real browser: ordered, filtered, read off, compared and played, by keys too, and on any screen."""

import json

import pytest
from browser import CHROMIUM, Browser
from made_up import write_evaluation, write_judged, write_run

from skelpipe.report.write import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def path(tmp_path_factory, clips):
    root = tmp_path_factory.mktemp("browser")
    write_judged(root / "e", clips, [0, 3, 9, 17, 20], "skeletonclr")
    write_judged(root / "e", clips, [0, 9, 12], "crosnnclr")
    for stream, top1 in (("joint", 0.61), ("motion", 0.09), ("bone", 0.5)):
        for recipe in ("aimclr", "isc"):
            protocols = {"linear": {"top1": top1, "warnings": []}, "retrieval": {"map": top1 / 2}}
            write_evaluation(root / "e", recipe, stream, protocols=protocols, test_clips=8)
    for recipe in ("skeletonclr", "crosnnclr"):
        write_run(root / "e" / f"run-{recipe}", recipe=recipe, lines=12)
    return write_report([root / "e"], root / "r", paper="table3", figures=["curves"]) / "report.html"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(started):
    """What goes wrong in a page, and whatever it asks a network for, fails its test."""
    yield started
    assert started.errors == []
    assert [url for url in started.asked if not url.startswith(("file:", "data:"))] == []


def texts(browser, selector):
    return browser.value(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent.trim())")


RESULTS = "document.querySelector('#results ~ .scroll table')"


def column(browser, place):
    cells = browser.value(
        f"[...{RESULTS}.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[{place}].innerText)"
    )
    return [text.split()[0] for text in cells]


def test_a_table_is_ordered_by_its_headings_and_filtered(browser, path):
    browser.open(path)
    before = column(browser, 2)
    head = f"[...{RESULTS}.tHead.rows[1].cells].find((c) => c.textContent.includes('linear'))"
    browser.value(f"{head}.querySelector('button').click()")
    assert browser.value(f"{head}.getAttribute('aria-sort')") == "descending"
    figures = [float(text) for text in column(browser, 2) if text != "—"]
    assert figures == sorted(figures, reverse=True)
    assert len(figures) > 5
    browser.value(f"{head}.querySelector('button').click()")
    assert [float(text) for text in column(browser, 2) if text != "—"] == sorted(figures)
    assert sorted(column(browser, 2)) == sorted(before)
    # Every row still says whose it is, though rows have parted.
    assert "" not in column(browser, 0)
    browser.value(
        f"(() => {{ const box = {RESULTS}.parentElement.previousElementSibling.querySelector('input');"
        " box.value = 'aimclr bone'; box.dispatchEvent(new Event('input')); })()"
    )
    assert column(browser, 1) == ["bone"]
    assert browser.value(f"{RESULTS}.parentElement.previousElementSibling.querySelector('[role=status]').textContent")


def test_the_tables_of_the_paper_are_ordered_within_their_parts(browser, path):
    browser.open(path)
    table = "document.querySelector('table.paper')"
    parts = browser.value(f"[...{table}.tBodies].map((b) => b.rows.length)")
    browser.value(f"{table}.tHead.querySelector('tr:last-child th:nth-child(2) button').click()")
    assert browser.value(f"[...{table}.tBodies].map((b) => b.rows.length)") == parts
    headings = browser.value(f"[...{table}.querySelectorAll('.heading')].every((r) => r.matches(':first-child'))")
    assert headings


def test_lines_are_hidden_by_their_names_and_values_read_off_by_keys(browser, path):
    browser.open(path)
    browser.value("document.querySelector('.legend button').focus()")
    browser.key(" ")
    assert browser.value("document.querySelector('.legend button').getAttribute('aria-pressed')") == "false"
    hidden = (
        "[...document.querySelectorAll('.line[data-line=\"0\"]')].every((l) => getComputedStyle(l).display === 'none')"
    )
    assert browser.value(hidden)
    browser.value("document.querySelector('svg.panel').focus()")
    browser.key("ArrowRight")
    browser.key("ArrowRight")
    read = "document.querySelector('.read').innerText"
    assert browser.value(read).split() == ["epoch", "2", "CrosNNCLR,", "joint,", "seed", "0", "1.5"]
    browser.key("End")
    assert browser.value(read).split()[1] == "12"
    browser.value("document.querySelector('.legend button').click()")
    assert not browser.value(hidden)


def test_a_pointer_reads_the_nearest_epoch_off(browser, path):
    browser.open(path)
    browser.value("document.querySelector('svg.panel').scrollIntoView({block: 'center'})")
    frame = "document.querySelector('svg.panel').getBoundingClientRect()"
    box = browser.value(f"['left', 'top', 'width', 'height'].map((key) => {frame}[key])")
    spot = {"x": box[0] + box[2] * (50 + 320 * 2.2 / 11) / 380, "y": box[1] + box[3] / 2}
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **spot)
    assert browser.value("document.querySelector('.read').innerText").split()[:2] == ["epoch", "3"]


def test_another_pair_of_runs_is_compared_and_turned_round(browser, path):
    browser.open(path)
    rows = "table.differences tbody tr"
    assert texts(browser, f"{rows} .diff b") == ["+25.0", "+12.5", "+0.0", "−12.5"]
    first = dict(zip(texts(browser, f"{rows} th"), texts(browser, f"{rows} .diff b"), strict=True))
    before = texts(browser, f"{rows} > *")
    swap = "const [a, b] = ['one', 'two'].map((c) => document.querySelector('select.' + c)); const kept = a.value;"
    browser.value(f"(() => {{ {swap} a.value = b.value; b.value = kept; b.dispatchEvent(new Event('change')); }})()")
    second = dict(zip(texts(browser, f"{rows} th"), texts(browser, f"{rows} .diff b"), strict=True))
    turn = str.maketrans("+−", "−+")
    assert second == {name: "+0.0" if text == "+0.0" else text.translate(turn) for name, text in first.items()}
    assert texts(browser, "caption .name-two") == ["SkeletonCLR, 800 epochs, joint"]
    browser.value(f"(() => {{ {swap} a.value = b.value; b.value = kept; b.dispatchEvent(new Event('change')); }})()")
    # What the script draws is what the page came with.
    assert texts(browser, f"{rows} > *") == before
    browser.value(f"(() => {{ {swap} a.value = b.value; a.dispatchEvent(new Event('change')); }})()")
    assert "choose another" in texts(browser, ".told")[0]


def test_clips_move_stop_and_are_turned(browser, path):
    browser.open(path)
    browser.value("document.querySelector('figure.clip').scrollIntoView()")
    line = "document.querySelector('svg.player path').getAttribute('d')"
    start = browser.value(line)
    browser.wait(f"{line} !== {json.dumps(start)}")
    browser.value("document.getElementById('play-all').focus()")
    browser.key("Enter")
    assert browser.value("document.getElementById('play-all').textContent") == "Play all"
    assert set(texts(browser, "button.play")) == {"Play"}
    stopped = browser.value(line)
    browser.value("new Promise((done) => setTimeout(done, 150))")
    assert browser.value(line) == stopped
    turn = "const turn = document.getElementById('turn')"
    browser.value(f"(() => {{ {turn}; turn.value = 60; turn.dispatchEvent(new Event('input')); }})()")
    assert browser.value(line) != stopped
    assert browser.value("document.querySelector('button.play').getAttribute('aria-label')").startswith("Play S001")


def test_whoever_asked_for_less_motion_sees_none_unasked(browser, path):
    browser.open(path, prefers_reduced_motion="reduce")
    assert set(texts(browser, "button.play")) == {"Play"}
    assert texts(browser, "#play-all") == ["Play all"]


def test_everything_to_be_used_is_reached_by_keys_and_shows_it(browser, path):
    browser.open(path)
    kinds = "a[href], button, select, input, summary, svg.panel"
    shown = "(e) => e.checkVisibility() && !e.closest('details:not([open]) > :not(summary)')"
    usable = f"[...document.querySelectorAll('{kinds}')].filter({shown})"
    count = browser.value(f"{usable}.length")
    assert browser.value(f"{usable}.every((e) => e.tabIndex === 0)")
    named = "(e) => e.getAttribute('aria-label') || e.innerText?.trim() || e.closest('label')?.innerText.trim()"
    assert browser.value(f"{usable}.every({named})")
    met = set()
    for _ in range(12):
        browser.key("Tab")
        met.add(browser.value("document.activeElement.outerHTML.slice(0, 60)"))
        outline = browser.value("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", met
    assert len(met) > 8
    assert count > 40


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_screen_is_too_narrow(browser, path, width, colours):
    browser.open(path, width=width, prefers_color_scheme=colours)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("getComputedStyle(document.body).backgroundColor") == {
        "light": "rgb(255, 255, 255)", "dark": "rgb(23, 27, 32)",
    }[colours]  # fmt: skip


def test_without_scripts_frames_and_tables_are_there_and_no_dead_buttons(browser, path):
    browser.open(path, scripts=False)
    seen = "[...document.querySelectorAll({})].filter((e) => e.checkVisibility()).length"
    assert browser.value(seen.format("'svg.strip'")) == browser.value(seen.format("'figure.clip'")) == 9
    assert browser.value(seen.format("'svg.player, .live, .bar button, .bar select'")) == 0
    assert browser.value(seen.format("'svg.panel'")) >= 3
    assert browser.value(seen.format("'table.differences tbody tr'")) == 4


def test_on_paper_nothing_is_cut_and_clips_are_frames(browser, path, tmp_path):
    browser.open(path, width=700, media="print")
    seen = "[...document.querySelectorAll({})].filter((e) => e.checkVisibility()).length"
    assert browser.value(seen.format("'svg.player, nav, .bar'")) == 0
    assert browser.value(seen.format("'svg.strip'")) == 9
    cut = "(e) => e.checkVisibility() && e.getBoundingClientRect().right > 700.5"
    wide = f"[...document.querySelectorAll('table, figure, pre, p')].filter({cut})"
    assert browser.value(f"{wide}.map((e) => e.outerHTML.slice(0, 80))") == []
    browser.paper(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")

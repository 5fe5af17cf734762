"""The report as a reader's browser shows it."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pipelines.report.write import write_report
from pipelines.tracking.tracker import Tracker
from tests.browser import CHROMIUM, DESKTOP, PHONE, browser, opened, overflows
from tests.pipelines.conftest import Pair
from tests.pipelines.report.conftest import FIRST, Written

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

PAPER = 794  # CSS pixels: A4 at 96 a inch
LONG = "encoders/" + "a-very-long-name-of-an-encoder_" * 8 + ".safetensors"


@pytest.fixture(scope="module")
def real(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real benchmark that reused a part of another."""
    folder = tmp_path_factory.mktemp("real")
    write_report(pair.second, pair.tracker, folder, watts=60)
    return folder / "report.html"


@pytest.fixture
def crowded(written: Written, tracker: Tracker, tmp_path: Path) -> Path:
    """A report with a long name, a long cause of a failure, and versions."""
    tags = tracker.client.get_run(written.parent).data.tags
    renamed = {key: tags[key].replace(FIRST, LONG) for key in ("encoders", "cells")}
    tracker.tag(written.parent, **renamed, failed=json.dumps({f"detect[{LONG}]": LONG * 3}))
    versions = json.dumps({f"package-{i}": "1.2.3+abcdef" for i in range(12)})
    tracker.tag(written.runs[f"knn[{FIRST}]"], encoder=LONG, versions=versions, code=LONG)
    write_report(written.parent, tracker, tmp_path / "report")
    return tmp_path / "report" / "report.html"


def colours(page: Page, selector: str) -> list[int]:
    """Brightness of an element's text, and of the page behind it, 0 to 255."""
    script = """s => [[s, 'color'], ['body', 'backgroundColor']].map(([where, what]) => {
        const rgb = getComputedStyle(document.querySelector(where))[what].match(/\\d+/g)
        return (+rgb[0] + +rgb[1] + +rgb[2]) / 3 })"""
    return page.evaluate(script, selector)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("report", ["real", "crowded"])
def test_it_opens_without_complaint_or_overflow(
    report: str, width: int, scheme: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = request.getfixturevalue(report)
    with browser(width) as page:
        page.emulate_media(color_scheme=scheme)
        assert opened(page, file) == []
        assert not overflows(page)
        for selector in ("td", "td.best", "p.note", "figcaption"):
            text, behind = colours(page, selector)
            assert (behind > text) == (scheme == "light")
            assert abs(behind - text) > 90, selector
        page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_every_picture_is_drawn_within_the_page(real: Path) -> None:
    script = """[...document.images].map(i =>
        [i.naturalWidth, i.getBoundingClientRect().right <= innerWidth])"""
    with browser(PHONE) as page:
        opened(page, real)
        found = page.evaluate(script)
    assert len(found) > 2
    assert all(width > 0 and inside for width, inside in found)


def test_a_wide_table_scrolls_in_its_own_box_on_a_phone(crowded: Path) -> None:
    script = "[...document.querySelectorAll('.scroll')].map(b => b.scrollWidth - b.clientWidth)"
    with browser(PHONE) as page:
        opened(page, crowded)
        assert max(page.evaluate(script)) > 100


def test_on_paper_it_is_dark_on_white_and_nothing_is_cut(real: Path) -> None:
    with browser(PAPER) as page:
        page.emulate_media(media="print", color_scheme="dark")
        opened(page, real)
        text, behind = colours(page, "td")
        assert (text, behind) == (0, 255)
        script = "[...document.querySelectorAll('table')].map(t => t.scrollWidth <= innerWidth)"
        assert all(page.evaluate(script))


def test_it_tells_reuse_energy_and_how_to_reproduce(real: Path, pair: Pair) -> None:
    with browser() as page:
        opened(page, real)
        text = page.inner_text("body")
    assert f"reused from tiny, run {pair.first[:8]}" in text
    assert "Energy is an estimate, time × power (stated power, 60 W)" in text
    command = pair.tracker.client.get_run(pair.second).data.tags["command"]
    assert command.endswith("tiny.py -o knn.k=1 -o few-shot.seed=1") and command in text
    assert text.count("this benchmark") == 4

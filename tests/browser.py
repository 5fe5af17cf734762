"""Debian's Chromium without a screen."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, expect, sync_playwright

expect.set_options(timeout=60_000)  # milliseconds; pages are slow beside trainings
CHROMIUM = shutil.which("chromium")
DESKTOP, PHONE = 1280, 390  # CSS pixels
MLFLOWS_OWN = (  # what its pages say without any run of ours
    "/ajax-api/2.0/mlflow/users/current",  # asked for also where the server has no users
    "GPU stall due to ReadPixels",  # plots, where Chromium draws them in software
)


@contextmanager
def browser(width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A page of that size, in CSS pixels."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium.new_page(viewport={"width": width, "height": height})
        chromium.close()


def complaints(page: Page) -> list[str]:
    """A list that gets what the browser complains about from now on."""
    said: list[str] = []
    page.on("console", lambda found: said.append(f"{found.text} {found.location['url'][:300]}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url[:80]))
    return said


def opened(page: Page, file: Path) -> list[str]:
    """What the browser complains about while a file is opened."""
    said = complaints(page)
    page.goto(file.as_uri())
    return said


def overflows(page: Page) -> bool:
    """Whether the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def open_comparison(page: Page, server: str, experiment: str, runs: Sequence[str]) -> None:
    """Open MLflow's page that compares runs, without its assistant and side bar."""
    query = urlencode({"runs": json.dumps(runs), "experiments": json.dumps([experiment])})
    page.goto(f"{server}/#/compare-runs?{query}")
    page.get_by_role("button", name="Close").first.click()  # the assistant
    page.get_by_role("button", name="Toggle sidebar").click()
    expect(page.get_by_role("heading", name=f"Comparing {len(runs)} Runs")).to_be_visible()


def choose_metric(page: Page, name: str) -> None:
    """Draw that metric on MLflow's page that compares runs, in place of the one it chose."""
    chosen = page.get_by_role("combobox").nth(1)
    chosen.click()
    chosen.press("Backspace")
    chosen.press_sequentially(name)
    chosen.press("Enter")
    chosen.press("Escape")
    expect(page.locator("svg").get_by_text(name, exact=True)).to_be_visible()

"""Debian's Chromium without a screen."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium")


@contextmanager
def browser(width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A page of that size, in CSS pixels."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium.new_page(viewport={"width": width, "height": height})
        chromium.close()

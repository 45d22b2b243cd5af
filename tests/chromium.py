"""The browser of the tests: Chromium, headless; Playwright need not download one."""

import importlib.util
import os
import shutil
from contextlib import contextmanager

import pytest


def skip_or_fail(reason):
    if os.environ.get("LOOKALIKE_BROWSER") == "required":
        pytest.fail(f"LOOKALIKE_BROWSER=required, but {reason}")
    pytest.skip(reason)


@contextmanager
def launched(*packages):
    """Start Chromium, or say why not; `packages` are needed beside Playwright."""
    chosen = os.environ.get("LOOKALIKE_CHROMIUM")
    names = [chosen] if chosen else ["chromium", "google-chrome"]
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        skip_or_fail(
            f"there is no {' or '.join(names)}: install it or set LOOKALIKE_CHROMIUM"
        )
    needed = ["playwright", *packages]
    if not all(map(importlib.util.find_spec, needed)):
        skip_or_fail(f"{' or '.join(needed)} is missing: see requirements-dev.txt")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # --no-sandbox: as root, in a container, Chromium starts only without it.
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()

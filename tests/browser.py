"""A real browser for tests: Debian's Chromium without a window, driven by Selenium."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_FLAGS = [
    "--headless=new", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    # What a browser asks for by itself.
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A browser with a new profile in an empty folder. Skips the test where there is none."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no chromium and chromedriver here")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if os.getuid() == 0:  # its sandbox refuses root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    running = Chrome(options, Service(driver))
    try:
        running.set_page_load_timeout(60)
        yield running
    finally:
        running.quit()


def hosts_asked(browser: Chrome) -> set[str]:
    """The host and port of every request to a server since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in _log(browser, "performance")]
    sent = [one["params"] for one in events if one["method"] == "Network.requestWillBeSent"]
    urls = [urlsplit(one["request"]["url"]) for one in sent]
    # The browser's own pages are chrome:, and a picture within a page is data:.
    return {url.netloc for url in urls if url.scheme in ("http", "https", "ws", "wss")}


def complaints(browser: Chrome) -> list[str]:
    """The lines of the console since the last call: errors, violations of a page's policy."""
    return [entry["message"] for entry in _log(browser, "browser")]


def _log(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = browser.get_log(kind)
    return entries

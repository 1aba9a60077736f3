"""People use the API with a browser: they sign in, read and try the API's page, sign out."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from api.auth import users
from sightline.audit.actor import command_actor
from sightline.audit.roles import Role
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests.browser import chromium, complaints, hosts_asked
from tests.stack.test_api_service import service
from tests.support import eventually

pytestmark = pytest.mark.stack

NAME, PASSWORD = "browser-ada <b>", "correct horse battery"


@pytest.fixture
def url(stack: Settings, tmp_path: Path) -> Iterator[str]:
    """Where the API is; it knows somebody who may sign in."""
    with connect(stack) as db:
        users.add(db, NAME, Role.VIEWER, PASSWORD, command_actor())
    with service(stack, tmp_path) as (where, _process):
        yield where
    with connect(stack) as db:
        users.remove(db, NAME)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "profile") as running:
        yield running


def shown(browser: Chrome, css: str) -> WebElement:
    """The first such element, as soon as it is seen."""

    def look() -> WebElement | None:
        found = browser.find_elements(By.CSS_SELECTOR, css)
        return found[0] if found and found[0].is_displayed() else None

    element = eventually(look, what=css)
    assert element is not None
    return element


def sign_in(browser: Chrome, password: str) -> None:
    for field, text in (("name", NAME), ("password", password)):
        box = shown(browser, f"input[name={field}]")
        box.clear()
        box.send_keys(text)
    shown(browser, "form button").click()


def test_somebody_signs_in_reads_and_tries_the_api_and_signs_out(url: str, browser: Chrome) -> None:
    browser.get(f"{url}/sign-in")
    sign_in(browser, "wrong horse battery")
    eventually(lambda: "name or password is wrong" in browser.page_source, what="a refusal")
    assert "401" in " ".join(complaints(browser))
    sign_in(browser, PASSWORD)
    eventually(lambda: urlsplit(browser.current_url).path == "/docs", what="the API's page")

    operation = shown(browser, "#operations-sign-in-sign-in-get_session")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) > 25
    assert f"Signed in as {NAME} (viewer)" in shown(browser, "header").text
    operation.find_element(By.CSS_SELECTOR, ".opblock-summary").click()
    shown(browser, ".try-out__btn").click()
    shown(browser, ".execute").click()
    assert shown(browser, ".live-responses-table tbody .response-col_status").text.startswith("200")
    assert NAME in shown(browser, ".live-responses-table tbody .response-col_description").text
    assert complaints(browser) == []

    shown(browser, "#sign-out").click()
    eventually(lambda: urlsplit(browser.current_url).path == "/sign-in", what="the sign-in")
    browser.get(f"{url}/docs")
    assert '"status":401' in browser.page_source
    assert browser.get_cookies() == []
    assert hosts_asked(browser) == {urlsplit(url).netloc}

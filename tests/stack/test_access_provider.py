"""Sign-in by an OpenID Connect provider, over HTTP."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from api.settings import ApiSettings, OidcSettings
from sightline.audit.roles import Role
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests import oidc_provider
from tests.api_support import client_of, good, problem
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider

pytestmark = pytest.mark.stack

BACK = "http://testserver/sign-in/provider/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with oidc_provider.running() as one:
        one.redirect_uris = [BACK]
        yield one


@pytest.fixture
def client(stack: Settings, provider: Provider) -> Iterator[TestClient]:
    """A browser; the provider's person is a guard."""
    provider.claims = {"sub": "17", "preferred_username": "oidc-ada", "groups": ["staff", "doors"]}
    oidc = OidcSettings(
        issuer=provider.issuer, client_id=CLIENT_ID, client_secret=SecretStr(CLIENT_SECRET),
        roles={"admins": Role.ADMIN, "doors": Role.GUARD},
    )  # fmt: skip
    with client_of(stack.model_copy(update={"api": ApiSettings(oidc=oidc)}), None) as one:
        yield one
    with connect(stack) as db:
        db.execute("DELETE FROM users WHERE issuer = %s", (provider.issuer,))


def at_provider(client: TestClient) -> str:
    """Go to the provider; where it sends the browser back to."""
    begun = client.get("/sign-in/provider", follow_redirects=False)
    assert begun.status_code == 302
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [BACK]
    assert "SameSite=lax" in begun.headers["set-cookie"]
    sent_back = httpx2.get(begun.headers["location"], follow_redirects=False)
    assert sent_back.status_code == 302, sent_back.text
    return str(sent_back.headers["location"])


def who(client: TestClient) -> Any:
    return good(client.get("/api/v1/session"))


def test_whom_the_provider_vouches_for_is_signed_in_with_the_role_of_its_groups(
    client: TestClient, provider: Provider
) -> None:
    assert "/sign-in/provider" in client.get("/sign-in").text
    back = client.get(at_provider(client))
    assert back.status_code == 200
    assert "SameSite=strict" in back.headers["set-cookie"]
    assert 'http-equiv="refresh"' in back.text
    assert provider.verifiers[-1]
    told = who(client)
    assert (told["kind"], told["name"], told["role"]) == ("user", "oidc-ada", "guard")
    # Their role is what the provider says of them the next time.
    provider.claims["groups"] = ["admins"]
    client.get(at_provider(client))
    again = who(client)
    assert (again["id"], again["role"]) == (told["id"], "admin")
    client.delete("/api/v1/session")
    problem(client.get("/api/v1/session"), 401)


def test_whoever_has_no_role_is_not_let_in(client: TestClient, provider: Provider) -> None:
    provider.claims["groups"] = ["staff"]
    problem(client.get(at_provider(client)), 401)
    problem(client.get("/api/v1/session"), 401)


def test_an_answer_that_was_not_asked_for_by_this_browser_is_refused(
    client: TestClient,
) -> None:
    location = at_provider(client)
    code = parse_qs(urlsplit(location).query)["code"][0]
    for other in ("", "x", "\u00e9"):
        params = {"code": code, "state": other}
        problem(client.get("/sign-in/provider/callback", params=params), 401)
    kept = client.cookies["sightline_sign_in"]
    client.cookies.clear()
    problem(client.get(location), 401)
    for broken in ("a.b", kept[::-1], f"{kept}.x"):
        problem(client.get(location, headers={"Cookie": f"sightline_sign_in={broken}"}), 401)
    client.cookies.set("sightline_sign_in", kept, path="/sign-in/provider")
    assert client.get(location).status_code == 200
    problem(client.get(location), 401)  # a code is taken once


def test_a_token_of_another_key_or_another_sign_in_is_refused(
    client: TestClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "nonce", "of another sign-in")
    problem(client.get(at_provider(client)), 401)
    monkeypatch.undo()
    monkeypatch.setattr(provider, "signs_with", RSAKey.generate_key(2048, {"kid": "1"}))
    problem(client.get(at_provider(client)), 401)
    monkeypatch.undo()
    assert client.get(at_provider(client)).status_code == 200


def test_a_provider_that_is_away_or_none_is_said(stack: Settings) -> None:
    away = ApiSettings(oidc=OidcSettings(issuer="http://127.0.0.1:9"))
    with client_of(stack.model_copy(update={"api": away}), None) as one:
        problem(one.get("/sign-in/provider"), 503)
    with client_of(stack, None) as one:
        assert "password" in problem(one.get("/sign-in/provider"), 422)["detail"]

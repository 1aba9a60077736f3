"""Who may do what: every route says so, and whoever has no key learns nothing."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.app import make_app
from api.auth import passwords
from api.auth.auth_middleware import PUBLIC
from api.auth.oidc_provider import role_of
from api.auth.permissions import RequiredPermission, requires
from api.auth.rate_limits import RateLimits
from api.auth.security_headers import HEADERS
from api.settings import ApiSettings, OidcSettings
from sightline.audit.actor import Actor, command_actor
from sightline.audit.roles import PERMISSIONS, Permission, Role
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from tests.api_support import problem
from tests.support import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    made = make_app(
        Settings(
            home=tmp_path_factory.mktemp("access"),
            database_url=SecretStr("postgresql://nobody@127.0.0.1:9/none"),  # nobody listens there
        )
    )

    @made.websocket("/live", dependencies=[requires(Permission.LOGS_READ)])
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("who is here")

    return made


@pytest.fixture(scope="module")
def outsider(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as one:
        yield one


def routes(app: FastAPI) -> dict[str, list[RequiredPermission]]:
    """What each route that there is requires, by its path and methods."""
    found = {}
    for context in iter_route_contexts(app.routes):
        route: Any = context.original_route
        given = [one.dependency for one in getattr(route, "dependencies", ())]
        what = " ".join(sorted(getattr(route, "methods", None) or ["WEBSOCKET"]))
        found[f"{what} {context.path}"] = [
            one for one in given if isinstance(one, RequiredPermission)
        ]
    return found


def test_every_route_needs_one_permission_or_is_public(app: FastAPI) -> None:
    found = routes(app)
    assert len(found) > 30
    open_to_all = {name.split()[-1] for name, needed in found.items() if not needed}
    assert open_to_all == PUBLIC
    assert {name for name, needed in found.items() if len(needed) > 1} == set()


def test_whoever_has_no_key_learns_nothing_not_even_which_routes_there_are(
    app: FastAPI, outsider: TestClient
) -> None:
    answers = set()
    for name in [*routes(app), "GET /nowhere", "GET /metrics", "GET /redoc", "GET /docs/"]:
        method, path = name.split()[-2:]
        if method == "WEBSOCKET" or path in PUBLIC:
            continue
        for one in (method, "HEAD", "OPTIONS", "PATCH"):
            response = outsider.request(one, path, headers={"Origin": "https://elsewhere.example"})
            assert response.status_code == 401, (one, path)
            assert not [key for key in response.headers if key.startswith("access-control")]
            if one != "HEAD":
                answers.add(response.text)
    assert len(answers) == 1
    assert outsider.get("/nowhere").headers["www-authenticate"] == "Bearer"
    assert outsider.get("/healthz").json() is not None
    with pytest.raises(WebSocketDisconnect), outsider.websocket_connect("/live"):
        pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer \t"},
        {"Cookie": "other=1"},
    ],
)
def test_what_is_no_key_is_none(outsider: TestClient, headers: dict[str, str]) -> None:
    problem(outsider.get("/api/v1/cameras", headers=headers), 401)


@pytest.mark.slow
def test_without_a_database_nobody_gets_in(outsider: TestClient) -> None:
    key = {"X-API-Key": f"sl_{'0' * 12}_{'0' * 64}"}
    assert problem(outsider.get("/api/v1/cameras", headers=key), 503)["detail"]


def test_every_answer_tells_browsers_to_keep_and_load_nothing(outsider: TestClient) -> None:
    for path in ("/healthz", "/nowhere", "/api/v1/cameras"):
        found = outsider.get(path).headers
        assert {name: found[name] for name in HEADERS} == HEADERS
        assert "strict-transport-security" not in found
    page = outsider.get("/sign-in")
    assert page.status_code == 200
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "script" not in page.text
    secure = TestClient(outsider.app, base_url="https://testserver")
    assert "max-age" in secure.get("/nowhere").headers["strict-transport-security"]


def test_a_role_has_what_the_one_below_it_has_and_auditors_see_no_faces() -> None:
    order = [Role.VIEWER, Role.GUARD, Role.ENROLLER, Role.OPERATOR, Role.ADMIN]
    for lower, higher in pairwise(order):
        assert PERMISSIONS[lower] < PERMISSIONS[higher]
    assert PERMISSIONS.keys() == set(Role)
    auditor = Actor("user", "1", "Ada", Role.AUDITOR)
    allowed = {one for one in Permission if auditor.has_permission(one)}
    assert allowed == {Permission.DESCRIPTION_READ, Permission.LOGS_READ, Permission.AUDIT_READ}
    assert command_actor().has_permission(Permission.AUDIT_READ)


def test_the_page_says_what_the_table_says() -> None:
    head, *rows = re.findall(r"^\|(.*)\|$", PAGE, re.MULTILINE)[: len(Permission) + 2]
    roles = [Role(one.strip(" `")) for one in head.split("|")[1:]]
    said = {}
    for row in rows[1:]:
        what, *marks = (one.strip(" `") for one in row.split("|"))
        said[Permission(what.split("`")[0])] = {
            role for role, mark in zip(roles, marks, strict=True) if mark
        }
    assert said == {one: {role for role in Role if one in PERMISSIONS[role]} for one in Permission}


def allowed(limited: Callable[[], None], most: int = 20) -> tuple[int, HTTPException]:
    """How often one may until one is refused, and the refusal."""
    for times in range(most):
        try:
            limited()
        except HTTPException as error:
            return times, error
    raise AssertionError(f"more than {most} times")


NEARLY = (3, 4)
"""Of three: where a window ends meanwhile, one of it may be forgotten."""


def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    limits = RateLimits(ApiSettings(requests_per_minute=3))
    times, refused = allowed(lambda: limits.count_request("key a"))
    assert times in NEARLY
    assert refused.status_code == 429
    assert 1 <= int((refused.headers or {})["Retry-After"]) <= 120
    limits.count_request("key b")
    unlimited = RateLimits(ApiSettings(requests_per_minute=0))
    for _ in range(100):
        unlimited.count_request("key a")


def attempt(limits: RateLimits, address: str, name: str) -> None:
    """One try at a password, as the route counts it."""
    limits.count_sign_in(address)
    limits.count_password_attempt(name)


def test_passwords_cannot_be_tried_on_and_on() -> None:
    limits = RateLimits(ApiSettings(failed_sign_ins=3))
    times, _ = allowed(lambda: attempt(limits, "192.0.2.1", "ada"))
    assert times in NEARLY
    allowed(lambda: attempt(limits, "192.0.2.1", "grace"), 1)  # from there nobody any more
    elsewhere = (f"198.51.100.{last}" for last in range(100))
    times, _ = allowed(lambda: attempt(limits, next(elsewhere), "ada"), 100)
    assert 10 < times < 30  # so often for one name, wherever from
    attempt(limits, "192.0.2.98", "grace")
    limits.reset_password_attempts("192.0.2.1", "grace")
    attempt(limits, "192.0.2.1", "grace")


@pytest.mark.slow
def test_passwords_are_kept_as_argon2_and_short_ones_refused() -> None:
    stored = passwords.hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert not PasswordHasher().check_needs_rehash(stored), "with the recommended parameters"
    assert "correct" not in stored
    assert passwords.verify_password(stored, "correct horse battery")
    assert not passwords.verify_password(stored, "correct horse batterY")
    assert not passwords.verify_password(None, "correct horse battery")
    assert not passwords.verify_password("$argon2id$broken", "correct horse battery")
    assert passwords.verify_password(
        passwords.hash_password("\u212bngstro\u0308m units"), "\u00c5ngstr\u00f6m units"
    )
    for bad in ("", "x" * 11, "x" * 1025):
        with pytest.raises(SightlineError, match="12 to 1024"):
            passwords.hash_password(bad)


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        (["staff", "doors"], Role.GUARD),
        (["doors", "admins"], Role.ADMIN),
        ("doors", Role.GUARD),
        (["staff"], None),
        ([], None),
        ([7, None], None),
    ],
)
def test_the_first_role_of_the_settings_counts(claim: object, role: Role | None) -> None:
    settings = OidcSettings(roles={"admins": Role.ADMIN, "doors": Role.GUARD})
    assert role_of({"groups": claim}, settings) is role
    assert role_of({}, settings) is None

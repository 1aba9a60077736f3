"""Keys and people at the API: let in by what they have, kept to what they may, turned away."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from typer.testing import Result

from api.auth import api_keys, passwords, users
from api.settings import ApiSettings
from schemas import sightline_pb2 as pb
from sightline.audit.actor import command_actor
from sightline.audit.roles import Role
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sinks.access_log import AccessLog
from sinks.runtime.postgres import PostgresSink
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good, problem
from tests.stack.commands_support import command, sightline_json
from tests.stack.sinks_support import World, new_world, write
from tests.support import api_key, bearer, eventually

pytestmark = pytest.mark.stack

PASSWORD = "correct horse battery"
WHOLE = "/api/v1/session"


@pytest.fixture(scope="module", autouse=True)
def _passwords_are_hashed_quickly() -> Iterator[None]:
    """By the same method: what the library recommends takes a tenth of a second each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=1024))
        yield


@pytest.fixture(scope="module")
def outsider(stack: Settings) -> Iterator[TestClient]:
    """A client without a key; each test brings its own, and some are wrong."""
    patient = stack.model_copy(update={"api": ApiSettings(failed_sign_ins=100)})
    with client_of(patient, None) as one:
        yield one


@pytest.fixture
def browser(outsider: TestClient) -> Iterator[TestClient]:
    """The same without cookies, before and after."""
    outsider.cookies.clear()
    yield outsider
    outsider.cookies.clear()


@pytest.fixture
def user(stack: Settings) -> Iterator[str]:
    """Somebody with a password, an operator."""
    name = "access-ada"
    with connect(stack) as db:
        users.add(db, name, Role.OPERATOR, PASSWORD, command_actor())
    yield name
    with connect(stack) as db:
        db.execute("DELETE FROM users WHERE name = %s", (name,))


def refusal(ask: Callable[[], Any]) -> Any:
    """What is answered to one request too many; a window may end meanwhile."""
    for _ in range(5):
        answer = ask()
        if answer.status_code == 429:
            break
    return answer


def within_a_window() -> None:
    """Wait until no window of 15 minutes ends soon: a new one forgets a part of the attempts."""
    eventually(lambda: time.time() % 900 < 840, what="the next window")


def well(result: Result) -> None:
    assert result.exit_code == 0, (result.output, result.exception)


def test_a_key_opens_until_it_is_revoked_and_its_secret_is_nowhere(
    stack: Settings, outsider: TestClient
) -> None:
    made = sightline_json(stack, "keys", "create", "access-panel", "--role", "guard")
    key, key_id = made["key"], made["key_id"]
    for headers in (bearer(key), {"X-API-Key": key}, {"Authorization": f"bearer  {key}"}):
        me = good(outsider.get(WHOLE, headers=headers))
        assert (me["kind"], me["id"], me["role"]) == ("key", key_id, "guard")
    [listed] = [one for one in sightline_json(stack, "keys", "list") if one["key_id"] == key_id]
    assert (listed["state"], listed["name"]) == ("valid", "access-panel")
    assert listed["last_used_at"]
    left = datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=364) < left <= timedelta(days=365)
    secret = key.rpartition("_")[2]
    with connect(stack) as db:
        for table in ("api_keys", "outbox"):
            rows = db.execute(f"SELECT t::text FROM {table} t").fetchall()
            assert not [row for row in rows if secret in row[0]]
    well(command(stack, "keys", "revoke", key_id))
    problem(outsider.get(WHOLE, headers=bearer(key)), 401)
    again = command(stack, "keys", "revoke", key_id)
    assert isinstance(again.exception, NotFoundError)


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(
    stack: Settings, outsider: TestClient
) -> None:
    with connect(stack) as db:
        past = datetime.now(UTC) - timedelta(seconds=1)
        made = [
            api_keys.create(
                db, "access-x", Role.ADMIN, expires_at=ends, made_by=command_actor()
            ).key
            for ends in (past, None)
        ]
    expired, right = made
    wrong = [
        expired, right[:-1], right[:-1] + ("0" if right[-1] != "0" else "1"), right + "0",
        right.upper(), f"sl_{'0' * 12}_{right[16:]}", "sl__", "\x00", "\u00e9", "x" * 10_000,
    ]  # fmt: skip
    said = set()
    with client_of(
        stack.model_copy(update={"api": ApiSettings(failed_sign_ins=len(wrong) + 1)}), None
    ) as client:
        for one in wrong:
            response = client.get(WHOLE, headers={b"X-API-Key": one.encode("latin-1")})
            said.add(problem(response, 401)["detail"])
        # A wrong key is not made up for by a session.
        client.cookies.set("sightline_session", "0" * 64)
        said.add(problem(client.get(WHOLE), 401)["detail"])
        assert len(said) == 1
        refused = refusal(lambda: client.get(WHOLE))
        assert "try again in" in problem(refused, 429)["detail"]
        good(client.get(WHOLE, headers=bearer(right)))  # a right one always opens
    problem(outsider.get("/nowhere"), 401)


MAY: dict[Role, set[str]] = {
    Role.VIEWER: {"logs", "persons", "cameras"},
    Role.GUARD: {"logs", "persons", "cameras", "pictures", "search"},
    Role.ENROLLER: {"logs", "persons", "cameras", "pictures", "search", "people", "enrol"},
    Role.OPERATOR: {
        "logs", "persons", "cameras", "pictures", "search", "people", "enrol", "correct", "remove",
    },
    Role.ADMIN: {
        "logs", "persons", "cameras", "pictures", "search", "people", "enrol", "correct", "remove",
    },
    Role.AUDITOR: {"logs"},
}  # fmt: skip

NOBODY = "00000000-0000-0000-0000-000000000000"

TRIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "logs": ("GET", "/api/v1/sightings?limit=1", {}),
    "persons": ("GET", "/api/v1/persons?limit=1", {}),
    "cameras": ("GET", "/api/v1/cameras", {}),
    "pictures": ("GET", "/api/v1/snapshots/none.jpg", {}),
    "search": ("POST", "/api/v1/search", {"json": {"limit": 0}}),
    "people": ("GET", "/api/v1/employees?limit=1", {}),
    "enrol": ("PATCH", f"/api/v1/employees/{NOBODY}", {"json": {"department": "x"}}),
    "correct": ("PUT", "/api/v1/persons/1/name", {"json": {"name": "Nobody"}}),
    "remove": ("DELETE", f"/api/v1/employees/{NOBODY}", {}),
}


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_what_is_its_own_and_nothing_else(
    stack: Settings, outsider: TestClient, role: Role
) -> None:
    mine = bearer(api_key(stack, role))
    got = set()
    for what, (method, path, body) in TRIES.items():
        response = outsider.request(method, path, headers=mine, **body)
        assert response.status_code < 500
        if response.status_code != 403:
            got.add(what)
        else:
            assert role in problem(response, 403)["detail"]
    assert got == MAY[role]
    assert outsider.get("/openapi.json", headers=mine).status_code == 200
    assert "swagger" in outsider.get("/docs", headers=mine).text


@pytest.fixture(scope="module")
def world(stack: Settings) -> Iterator[World]:
    """Two cameras, with a stranger at each."""
    with new_world(stack) as one:
        hall = one.add_camera("hall")
        seen = [
            one.sighting(start=0, decided=1, stranger="x"),
            one.sighting(start=50, decided=51, stranger="y", camera=hall),
        ]
        sinks: list[tuple[PostgresSink, list[Any]]] = [
            (AccessLog(stack), seen),
            (Snapshots(stack, open_store(stack)), [*seen, one.shot(start=0)]),
            (VisitorLog(stack), [
                seen[0], one.motion(pb.MotionEvent.STARTED, 0),
                one.motion(pb.MotionEvent.ENDED, 0, 10), one.frame(10, last=True),
            ]),
        ]  # fmt: skip
        for sink, messages in sinks:
            write(stack, sink, messages)
        yield one


def test_a_key_for_some_cameras_sees_no_others(
    stack: Settings, outsider: TestClient, world: World
) -> None:
    hall = f"hall-{world.id}"

    def ask(path: str, key: str, **given: Any) -> Any:
        return outsider.request(
            "POST" if given else "GET", f"/api/{path}", headers=bearer(key), **given
        )

    everywhere, here = api_key(stack), api_key(stack, Role.OPERATOR, [hall])
    rows = good(ask(f"v1/sightings?site={world.site}", everywhere))["items"]
    [picture] = [row["snapshot_path"] for row in rows if row["snapshot_path"]]
    by_camera = {row["camera_id"]: row["id"] for row in rows}
    assert by_camera.keys() == {world.camera, hall}
    assert good(ask("v1/session", here))["cameras"] == [hall]
    assert [one["id"] for one in good(ask("v1/sightings", here))["items"]] == [by_camera[hall]]
    assert by_camera[world.camera] not in ask("v1/sightings?format=csv", here).text
    good(ask(f"v1/sightings/{by_camera[hall]}", here))
    problem(ask(f"v1/sightings/{by_camera[world.camera]}", here), 404)
    assert good(ask("v1/visitor-logs", here))["items"] == []
    assert [one["camera_id"] for one in good(ask("v1/cameras", here))] == [hall]
    problem(ask(f"v1/cameras/{world.camera}", here), 404)
    problem(ask(f"v1/snapshots/{picture}", here), 404)
    assert len(good(ask("module1/access-logs", here))) == 1
    assert good(ask("module1/access-summary", here))["total_accesses"] == 1
    frame = {"frame": "eA==", "camera_id": world.camera}
    problem(ask("module1/process-frame", here, json=frame), 403)
    for path in ("v1/persons", "v1/employees", "detected-persons/active"):
        assert "all cameras" in problem(ask(path, here), 403)["detail"]


def test_a_key_for_a_site_sees_its_cameras(
    stack: Settings, outsider: TestClient, world: World
) -> None:
    made = sightline_json(stack, "keys", "create", "site", "--role", "guard", "--site", world.site)
    mine = bearer(made["key"])
    rows = good(outsider.get("/api/v1/sightings", headers=mine))["items"]
    assert len(rows) == 2
    [visit] = good(outsider.get("/api/v1/visitor-logs", headers=mine))["items"]
    assert visit["camera_name"] == world.camera
    [picture] = [row["snapshot_path"] for row in rows if row["snapshot_path"]]
    got = outsider.get(f"/api/v1/snapshots/{picture}", headers=mine)
    assert got.content.startswith(b"picture")


def sign_in(client: TestClient, name: str, password: str = PASSWORD) -> Any:
    return client.post("/sign-in", json={"name": name, "password": password})


def test_people_sign_in_and_out(stack: Settings, browser: TestClient, user: str) -> None:
    done = sign_in(browser, user)
    assert good(done)["expires_at"]
    cookie = done.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie
    me = good(browser.get(WHOLE))
    assert (me["kind"], me["name"], me["role"]) == ("user", user, "operator")
    token = browser.cookies["sightline_session"]
    with connect(stack) as db:
        rows = db.execute("SELECT s::text FROM sessions s").fetchall()
        assert rows
        assert not [row for row in rows if token in row[0]]
    assert browser.delete(WHOLE).status_code == 204
    problem(browser.get(WHOLE, headers={"Cookie": f"sightline_session={token}"}), 401)
    secure = TestClient(browser.app, base_url="https://testserver")
    assert "Secure" in sign_in(secure, user).headers["set-cookie"]


def test_the_page_signs_in_and_says_what_is_wrong(browser: TestClient, user: str) -> None:
    wrong = browser.post("/sign-in", data={"name": user, "password": "<wrong & wrong>"})
    assert wrong.status_code == 401
    assert "name or password is wrong" in wrong.text
    assert "<form" in wrong.text
    right = {"name": user, "password": PASSWORD}
    foreign = {"Origin": "https://elsewhere.example"}
    problem(browser.post("/sign-in", data=right, headers=foreign), 403)
    done = browser.post("/sign-in", data=right, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/docs")
    assert browser.get("/docs").status_code == 200
    # The session does not act for pages of other sites.
    problem(browser.delete(WHOLE, headers=foreign), 403)
    for bad in ({}, {"name": user}, right | {"role": "admin"}, {"name": 1, "password": 2}):
        problem(browser.post("/sign-in", json=bad), 422)


def test_a_wrong_name_and_a_wrong_password_are_one(stack: Settings, user: str) -> None:
    few = stack.model_copy(update={"api": ApiSettings(failed_sign_ins=3)})
    within_a_window()
    with client_of(few, None) as client:
        said = {
            problem(sign_in(client, name, password), 401)["detail"]
            for name, password in ((user, "x" * 12), ("access-nobody", PASSWORD), ("\x01", ""))
        }
        assert said == {"name or password is wrong"}
        # Now the right one does not help.
        refused = refusal(lambda: sign_in(client, user))
        problem(refused, 429)
        assert int(refused.headers["retry-after"]) > 0


def test_too_many_requests_of_a_key_are_refused(stack: Settings) -> None:
    few = stack.model_copy(update={"api": ApiSettings(requests_per_minute=5)})
    with client_of(few, Role.VIEWER) as client:
        for _ in range(5):
            good(client.get(WHOLE))
        problem(refusal(lambda: client.get(WHOLE)), 429)
        assert client.get("/healthz").status_code in (200, 503)


def test_a_session_ends_with_time_with_the_password_and_with_the_person(
    stack: Settings, browser: TestClient, user: str
) -> None:
    with connect(stack, autocommit=True) as db:

        def signed_in(change: str) -> int:
            good(sign_in(browser, user))
            good(browser.get(WHOLE))
            where = "user_id = (SELECT user_id FROM users WHERE name = %s)"
            if change:
                db.execute(f"UPDATE sessions SET {change} WHERE {where}", (user,))
            return int(browser.get(WHOLE).status_code)

        assert signed_in("") == 200
        assert signed_in("expires_at = now()") == 401
        assert signed_in("seen_at = now() - interval '61 minutes'") == 401
        assert signed_in("seen_at = now() - interval '59 minutes'") == 200
        assert good(browser.get(WHOLE))["role"] == "operator"
        db.execute("UPDATE users SET role = 'viewer' WHERE name = %s", (user,))
        assert good(browser.get(WHOLE))["role"] == "viewer"
        well(command(stack, "users", "passwd", user, given="another long password\n"))
        problem(browser.get(WHOLE), 401)
        problem(sign_in(browser, user), 401)
        good(sign_in(browser, user, "another long password"))
        well(command(stack, "users", "remove", user))
        problem(browser.get(WHOLE), 401)


def test_users_are_added_listed_and_refused(stack: Settings) -> None:
    added = ("add", "access-grace", "--role", "auditor")
    try:
        short = command(stack, "users", *added, given="short\n")
        assert isinstance(short.exception, SightlineError)
        well(command(stack, "users", *added, given=f"{PASSWORD}\n"))
        twice = command(stack, "users", *added, given=f"{PASSWORD}\n")
        assert isinstance(twice.exception, ConflictError)
        rows = sightline_json(stack, "users", "list")
        [listed] = [one for one in rows if one["name"] == "access-grace"]
        assert (listed["role"], listed["signs_in_by"]) == ("auditor", "password")
        assert PASSWORD not in str(listed)
    finally:
        command(stack, "users", "remove", "access-grace")
    gone = command(stack, "users", "remove", "access-grace")
    assert isinstance(gone.exception, NotFoundError)

"""Bodies of requests: what may come, from whom, and that nobody has to wait for it."""

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from anyio.abc import TaskStatus
from fastapi import FastAPI, params
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message

from api import request_bodies
from api.app import make_app
from api.auth.authenticator import Authenticator
from api.settings import ApiSettings
from sightline.audit.actor import Actor
from sightline.audit.roles import Role
from sightline.runtime.settings import Settings
from tests.api_support import problem

KIB = 1024
JSON, FIELDS = "application/json", "application/x-www-form-urlencoded"

VAST = b"[" + b",".join([b'{"":{}}'] * KIB * KIB) + b"]"
"""8 MiB that would be 300 MiB and seconds of parsing."""

FRAMES = "/api/module1/process-frame"
OF_KEYS = [
    ("POST", FRAMES),
    ("POST", "/api/module1/enroll"),
    ("POST", "/api/v1/search"),
    ("POST", "/api/detected-persons/search-by-face"),
    ("PUT", "/api/v1/persons/1/name"),
    ("POST", "/api/v1/persons/1/merge"),
    ("POST", "/api/v1/persons/1/split"),
    ("PATCH", "/api/v1/employees/00000000-0000-0000-0000-000000000000"),
]


class ByName(Authenticator):
    """Takes everybody for the role that they say they have."""

    def actor_of(self, connection: HTTPConnection) -> Actor:
        return Actor("key", "open", "open", Role(connection.headers["x-role"]))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    settings = Settings(
        home=tmp_path_factory.mktemp("bodies"),
        database_url=SecretStr("postgresql://nobody@127.0.0.1:9/none"),  # nobody listens there
    )
    made = make_app(settings)
    made.state.context = replace(
        made.state.context, authenticator=ByName(ApiSettings.of(settings), made.state.context.pool)
    )
    return made


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False, headers={"x-role": "admin"}) as one:
        yield one


@pytest.fixture
def outsider(client: TestClient, request: pytest.FixtureRequest) -> TestClient:
    """A client of the same app, from an address of the test's own."""
    return TestClient(client.app, raise_server_exceptions=False, client=(request.node.name, 1))


@dataclass
class Exchange:
    """A request as a server passes it to the app: its body comes in parts, perhaps never."""

    method: str
    path: str
    parts: list[bytes]
    role: Role = Role.ADMIN
    address: str = "192.0.2.1"
    taken: int = 0
    status: int = 0
    said: dict[str, Any] = field(default_factory=dict)

    async def __call__(self, app: ASGIApp) -> None:
        """Ask the app, and keep its answer."""
        headers = [(b"content-type", b"application/json"), (b"x-role", self.role.encode())]
        await app(
            {
                "type": "http", "method": self.method, "path": self.path, "query_string": b"",
                "headers": headers, "scheme": "http", "client": (self.address, 1),
            },
            self._receive,
            self._send,
        )  # fmt: skip

    async def _receive(self) -> Message:
        if self.taken == len(self.parts):
            await anyio.sleep_forever()
        self.taken += 1
        more = self.taken < len(self.parts) or not self.parts[-1]
        return {"type": "http.request", "body": self.parts[self.taken - 1], "more_body": more}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["body"]:
            self.said = json.loads(message["body"])


def within(client: TestClient, run: Callable[[], Awaitable[None]]) -> None:
    """Run something in the loop of the app."""
    assert client.portal is not None
    client.portal.call(run)


def blocked(client: TestClient, exchange: Exchange) -> float:
    """The longest time that the loop had for nothing else, in seconds of the process's CPU."""
    worst = 0.0

    async def tick(*, task_status: TaskStatus[None]) -> None:
        nonlocal worst
        before = time.process_time()
        task_status.started()
        while True:
            await anyio.sleep(0.001)
            now = time.process_time()
            worst, before = max(worst, now - before), now

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(tick)
            await exchange(client.app)
            await anyio.sleep(0.002)
            tasks.cancel_scope.cancel()

    within(client, run)
    return worst


def unsaid(body: bytes) -> Iterator[bytes]:
    """In chunks: how long it is is found out on the way."""
    yield from (body[at : at + 4 * KIB] for at in range(0, len(body), 4 * KIB))


@pytest.mark.parametrize("media_type", [JSON, FIELDS])
def test_who_has_no_key_can_send_a_few_kib(outsider: TestClient, media_type: str) -> None:
    large = b"x" * (16 * KIB + 1)
    for body in (large, unsaid(large)):
        answer = outsider.post("/sign-in", content=body, headers={"content-type": media_type})
        assert answer.status_code == 413
        assert "more than 16384 bytes" in answer.text


@pytest.mark.slow
def test_the_longest_name_and_password_can_be_sent(outsider: TestClient) -> None:
    longest = {"name": "\U0001f600" * 200, "password": "\U0001f600" * 1024}
    as_json = json.dumps(longest).encode()
    as_fields = urlencode(longest).encode()
    for body, media_type in ((as_json, JSON), (as_fields, FIELDS)):
        assert len(body) > 14 * KIB
        answer = outsider.post("/sign-in", content=body, headers={"content-type": media_type})
        assert answer.status_code == 503  # as far as the database, which is away


def test_a_sign_in_is_a_form_of_fields_or_json(outsider: TestClient) -> None:
    refused = outsider.post("/sign-in", data={"name": "ada"}, files={"password": b"x"})
    assert "send application/json or" in problem(refused, 415)["detail"]
    problem(outsider.post("/sign-in", content=b"<a/>", headers={"content-type": "text/xml"}), 415)


def test_a_try_is_counted_before_its_body_is_read(client: TestClient) -> None:
    statuses = []
    for _ in range(15):
        one = Exchange("POST", "/sign-in", [b"no JSON"], address="192.0.2.2")
        within(client, partial(one, client.app))
        statuses.append((one.status, one.taken))
    assert set(statuses[:9]) == {(400, 1)}
    assert statuses[-1] == (429, 0)  # the body was not looked at


def test_a_body_without_a_key_has_to_come_in_time(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_bodies, "PUBLIC_SECONDS", 0.2)
    slow = Exchange("POST", "/sign-in", [b'{"name": ', b""], address="192.0.2.3")
    within(client, partial(slow, client.app))
    assert slow.status == 408
    assert "took more than 0.2 s" in slow.said["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/sign-in"), *OF_KEYS])
def test_a_vast_body_holds_nobody_up(client: TestClient, method: str, path: str) -> None:
    parts = [VAST[at : at + 64 * KIB] for at in range(0, len(VAST), 64 * KIB)]
    vast = Exchange(method, path, parts, address="192.0.2.4")
    assert blocked(client, vast) < 0.6
    assert vast.status in (413, 422)
    assert "more than" in vast.said["detail"]


def test_a_large_picture_holds_nobody_up(client: TestClient) -> None:
    frame = b'{"frame": "' + b"A" * (10 * KIB * KIB) + b'"}'
    one = Exchange("POST", FRAMES, [frame])
    assert blocked(client, one) < 0.6
    assert one.said["reason"] == "INVALID_IMAGE_FORMAT"


def test_json_without_a_picture_has_at_most_a_mib(client: TestClient) -> None:
    for method, path in OF_KEYS:
        body = json.dumps({"name": "x" * KIB * KIB}).encode()
        has_pictures = "persons/1" not in path and "employees" not in path
        for content in (body, unsaid(body)):
            answer = client.request(method, path, content=content, headers={"content-type": JSON})
            said = problem(answer, 422 if has_pictures else 413)
            assert has_pictures or "more than 1048576 bytes" in said["detail"]


@pytest.mark.parametrize(("method", "path"), OF_KEYS)
def test_the_role_is_looked_at_before_the_body(client: TestClient, method: str, path: str) -> None:
    one = Exchange(method, path, [b"no JSON"], role=Role.AUDITOR)
    within(client, partial(one, client.app))
    assert (one.status, one.taken) == (403, 0)


def test_no_json_body_is_left_to_the_framework(app: FastAPI) -> None:
    found = [
        getattr(one.original_route, "body_field", None) for one in iter_route_contexts(app.routes)
    ]
    assert [one for one in found if one] != []
    assert {type(one.field_info) for one in found if one} == {params.File}

"""Requests that no database is needed to answer: each failure is a problem with its reason."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from api.app import make_app
from api.auth.authenticator import Authenticator
from api.pagination import Table
from api.photo_uploads import from_base64
from api.settings import ApiSettings
from sightline.audit.actor import Actor
from sightline.audit.roles import Role
from sightline.runtime.errors import PhotoError, SightlineError
from sightline.runtime.settings import Settings

KIB = 1024


class Open(Authenticator):
    """Takes everybody for an administrator."""

    def actor_of(self, connection: HTTPConnection) -> Actor:
        return Actor("key", "open", "open", Role.ADMIN)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    settings = Settings(
        home=tmp_path_factory.mktemp("api"),
        database_url=SecretStr("postgresql://nobody@127.0.0.1:9/none"),  # nobody listens there
        api=ApiSettings(max_photo_bytes=16 * KIB),
    )
    made = make_app(settings)
    # Who asks is in the database; what is tested here comes after that.
    made.state.context = replace(
        made.state.context, authenticator=Open(ApiSettings.of(settings), made.state.context.pool)
    )

    @made.get("/fails", summary="For the test of what nobody has foreseen")
    def fails() -> None:
        raise ValueError("a secret of the inside")

    return made


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as one:
        yield one


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["type"] == "about:blank"
    assert told["title"]
    assert told["detail"]
    return told


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://testserver:81"])
def test_a_page_of_another_site_cannot_write(client: TestClient, origin: str) -> None:
    # Without a name: the models, which take seconds to load, are asked about no photo.
    form: dict[str, Any] = {"files": {"photo": ("a.jpg", b"")}}
    refused = client.post("/api/module1/enroll", headers={"Origin": origin}, **form)
    assert "other sites" in problem(refused, 403)["detail"]
    for headers in ({"Origin": "http://testserver"}, {}):
        problem(client.post("/api/module1/enroll", headers=headers, **form), 422)
    assert client.get("/healthz", headers={"Origin": origin}).status_code == 200


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    assert "/nowhere" in problem(client.get("/nowhere"), 404)["detail"]
    refused = client.delete("/api/module1/access-logs")
    problem(refused, 405)
    assert refused.headers["allow"] == "GET"


def test_what_nobody_has_foreseen_says_nothing_of_the_inside(client: TestClient) -> None:
    response = client.get("/fails")
    problem(response, 500)
    assert "secret" not in response.text
    assert "Traceback" not in response.text


@pytest.mark.slow
def test_a_database_that_is_away_is_worth_another_try(client: TestClient) -> None:
    response = client.get("/api/v1/sightings")
    problem(response, 503)
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/detected-persons/0",
        "/api/detected-persons/-1",
        "/api/detected-persons/9223372036854775808",
        "/api/detected-persons/1e3",
        "/api/detected-persons/one",
        "/api/v1/persons/9223372036854775808",
        "/api/v1/employees/17",
        "/api/v1/sightings/none",
        "/api/v1/sightings?limit=0",
        "/api/v1/sightings?limit=1001",
        "/api/v1/sightings?since=yesterday",
        "/api/v1/sightings?global_id=99999999999999999999",
        "/api/v1/sightings?status=maybe",
        "/api/v1/sightings?format=pdf",
        "/api/module1/access-logs?limit=-1",
        "/api/module1/access-summary?start=never",
    ],
)
def test_values_that_are_none_are_refused(client: TestClient, path: str) -> None:
    told = problem(client.get(path), 422)
    assert told["errors"][0]["where"]


@pytest.mark.parametrize("path", ["/api/module1/enroll", "/api/module1/process-frame"])
def test_a_body_that_is_no_json_is_refused(client: TestClient, path: str) -> None:
    surrogate = b'{"frame": "\\ud800", "name": "\\ud800"}'
    for body in (b"", b"{", b"\xff\xfe", b"[" * 5000, b"[" * 50_000, surrogate):
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code in (400, 422)
        problem(response, response.status_code)


def test_another_media_type_is_refused(client: TestClient) -> None:
    for path in ("/api/module1/enroll", "/api/module1/process-frame"):
        response = client.post(path, content=b"<a/>", headers={"content-type": "text/xml"})
        problem(response, 415)
    change = f"/api/v1/employees/{'0' * 8}-0000-0000-0000-{'0' * 12}"
    problem(client.patch(change, content=b"x", headers={"content-type": "text/plain"}), 415)


def test_what_is_too_large_is_refused_said_or_found_out(client: TestClient) -> None:
    path = "/api/module1/process-frame"
    json_type = {"content-type": "application/json"}
    vast = b" " * (64 * KIB + 1)
    problem(client.post(path, content=vast, headers=json_type), 413)

    def unsaid() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * 8 * KIB

    problem(client.post(path, content=unsaid(), headers=json_type), 413)
    photo = {"photo": ("large.jpg", b"x" * (16 * KIB + 1), "image/jpeg")}
    told = problem(client.post("/api/module1/enroll", data={"name": "A"}, files=photo), 413)
    assert told["detail"].startswith("large.jpg")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "give a frame"),
        ({"frame": ""}, "give a frame"),
        ({"track_ids": [{"track_id": -1, "face_crop": ""}]}, "track_id"),
        ({"track_ids": [{"track_id": 2**31, "face_crop": ""}]}, "track_id"),
        ({"track_ids": [{"track_id": 1}]}, "face_crop"),
        ({"track_ids": [{"track_id": 1, "face_crop": "eA=="}] * 2}, "twice"),
        ({"track_ids": [{"track_id": n, "face_crop": ""} for n in range(65)]}, "64"),
        ({"frame": "eA==", "camera_id": "../door"}, "camera_id"),
        ({"frame": "eA==", "camera_id": "door\n"}, "camera_id"),
    ],
)
def test_a_frame_that_says_nothing_is_refused(
    client: TestClient, body: dict[str, Any], part: str
) -> None:
    response = client.post(
        "/api/module1/process-frame", content=json.dumps(body),
        headers={"content-type": "application/json"},
    )  # fmt: skip
    assert part in problem(response, 422)["detail"]


@pytest.mark.parametrize("frame", ["eA==", "no base64!", "data:image/jpeg;base64,AAAA"])
def test_a_frame_that_is_no_picture_is_refused(client: TestClient, frame: str) -> None:
    told = problem(client.post("/api/module1/process-frame", json={"frame": frame}), 422)
    assert told["reason"] == "INVALID_IMAGE_FORMAT"


@pytest.mark.slow
def test_the_description_is_valid_and_complete(client: TestClient) -> None:
    from openapi_spec_validator import validate  # takes long to load

    described = client.get("/openapi.json").json()
    validate(described)
    assert "Problem" in described["components"]["schemas"]
    operations = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 25
    for path, method, operation in operations:
        assert operation["summary"], (path, method)
        problems = operation["responses"]["default"]["content"]
        assert "application/problem+json" in problems, (path, method)
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)


def test_the_page_of_the_api_loads_our_own_files_alone(client: TestClient) -> None:
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "form-action 'none'" in policy
    assert "//" not in policy + page.text
    assert not re.findall(r"<style|<script>|\sstyle=|\son\w+=", page.text)
    loaded = set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page.text)) - {"data:,"}
    assert len(loaded) == 4
    for path in loaded:
        found = client.get(path)
        assert found.status_code == 200
        assert found.headers["content-type"].partition(";")[0] in ("text/css", "text/javascript")
    for other in ("nothing.js", "redoc.standalone.js", "..%2fviewer.py", "%2e%2e"):
        assert client.get(f"/docs/{other}").status_code == 404


def test_base64_is_taken_with_and_without_decoration() -> None:
    for text in ("YWJj", "YW\nJj", "data:image/png;base64,YWJj"):
        assert from_base64(text, "photo", 3).data == b"abc"
    for text in ("YW", "YWJ=j", "@@@@", "YWJj\u00e9", "YW\u00a0Jj"):
        with pytest.raises(PhotoError) as refused:
            from_base64(text, "photo", 3)
        assert refused.value.reason == "INVALID_IMAGE_FORMAT"


TABLE = Table("logs", "*", "at", "timestamptz", "id", "uuid")


@given(st.text(max_size=100))
def test_a_cursor_of_ours_or_a_refusal(cursor: str) -> None:
    try:
        _query, values = TABLE.query([], cursor)
    except SightlineError as error:
        assert "cursor" in str(error)
    else:
        assert [type(value) for value in values] == [str, str]


def test_the_home_is_left_alone(app: FastAPI) -> None:
    settings: Settings = app.state.context.settings
    assert list(Path(settings.home).iterdir()) == []

"""What tests of the API share: an app on the stack, pictures of the demo's people."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from fastapi.testclient import TestClient

from api.app import make_app
from ops.demo.demo_persons import DEMO_PERSONS, Image, enrolment_photo
from sightline.audit.roles import Role
from sightline.runtime.settings import Settings
from tests.least_rights import as_service
from tests.support import api_key, bearer

MEDIA_TYPE = "application/problem+json"


@contextmanager
def client_of(
    settings: Settings, role: Role | None = Role.ADMIN, cameras: Sequence[str] = ()
) -> Iterator[TestClient]:
    """A client of an app with these settings and the pack that is on every machine.

    It has a key of its own; without a role it has none.
    """
    app = make_app(as_service(settings, "api").model_copy(update={"pack": "dlib"}))
    headers = bearer(api_key(settings, role, cameras)) if role else {}
    with TestClient(app, raise_server_exceptions=False, headers=headers) as client:
        yield client


def jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image)
    assert done
    return data.tobytes()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def photo_of(member: int) -> bytes:
    """A portrait of one of the cast."""
    return jpeg(enrolment_photo(DEMO_PERSONS[member]))


def crop_of(member: int, shot: int = 0) -> bytes:
    """The face of one of the cast, a little different in each shot."""
    picture = DEMO_PERSONS[member].picture.load()
    x1, y1, x2, y2 = DEMO_PERSONS[member].face
    margin = (x2 - x1) // 4 + 2 * shot
    crop = picture[max(0, y1 - margin) : y2 + margin, max(0, x1 - margin) : x2 + margin]
    noise = np.random.default_rng(shot).integers(-4, 5, crop.shape)
    return jpeg(np.clip(crop + noise, 0, 255).astype(np.uint8))


def blurred_crop_of(member: int) -> bytes:
    """The face of one of the cast, too blurred for an embedding."""
    picture = cv2.imdecode(np.frombuffer(crop_of(member), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return jpeg(np.asarray(cv2.GaussianBlur(picture, (31, 31), 0), np.uint8))


def problem(response: Any, status: int, reason: str | None = None) -> dict[str, Any]:
    """The problem that a request was answered with."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["detail"]
    if reason is not None:
        assert told["reason"] == reason, told
    return told


def good(response: Any, status: int = 200) -> Any:
    """What a request was answered with."""
    assert response.status_code == status, response.text
    return response.json()

"""Enrolment over HTTP: who is taken, who is refused and why, and nothing half-written."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ops.demo.demo_persons import DEMO_PERSONS, enrolment_photo
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from tests.api_support import base64_of, client_of, good, jpeg, photo_of, problem

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(stack) as one:
        yield one
        for row in good(one.get("/api/v1/employees", params={"search": "Api "}))["items"]:
            assert one.delete(f"/api/v1/employees/{row['id']}").status_code == 204


def form(client: TestClient, name: str, photo: bytes, **details: str) -> Any:
    return client.post(
        "/api/module1/enroll", data={"name": name} | details, files={"photo": ("photo.jpg", photo)}
    )


def written(stack: Settings) -> tuple[int, int, int, int]:
    with connect(stack) as db:
        row = db.execute(
            "SELECT (SELECT count(*) FROM employees), (SELECT count(*) FROM face_templates),"
            " (SELECT count(*) FROM outbox)"
        ).fetchone()
    assert row is not None
    return (*row, len(list(open_store(stack).keys("enrollment_photos/"))))


def test_a_form_and_json_enrol_and_a_name_twice_is_a_conflict(
    client: TestClient, stack: Settings
) -> None:
    done = good(form(client, "Api Ana", photo_of(0), department="Lab"))
    assert done["success"] is True
    assert set(done) == {"success", "employee_id", "face_id", "message"}
    body = {"name": "Api Ben", "photo": "data:image/jpeg;base64," + base64_of(photo_of(1))}
    ben = good(client.post("/api/module1/enroll", json=body))
    assert ben["face_id"] != done["face_id"]

    shown = good(client.get(f"/api/v1/employees/{done['employee_id']}"))
    assert (shown["name"], shown["department"], shown["status"]) == ("Api Ana", "Lab", "active")
    assert [one["template_id"] for one in shown["templates"]] == [done["face_id"]]
    before = written(stack)
    problem(form(client, "Api Ana", photo_of(2)), 409)
    problem(client.post("/api/module1/enroll", json=body), 409)
    assert written(stack)[:2] == before[:2]
    assert written(stack)[3] == before[3]


def test_of_two_who_enrol_one_name_at_once_one_wins(client: TestClient) -> None:
    answers: list[int] = []
    barrier = threading.Barrier(2)

    def enrol(photo: bytes) -> None:
        barrier.wait(60)
        answers.append(form(client, "Api Twice", photo).status_code)

    threads = [threading.Thread(target=enrol, args=(photo_of(3),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert sorted(answers) == [200, 409]


def picture(kind: str, **more: Any) -> bytes:
    """A portrait in another form of file."""
    image = Image.fromarray(cv2.cvtColor(enrolment_photo(DEMO_PERSONS[2]), cv2.COLOR_BGR2RGB))
    out = io.BytesIO()
    if kind == "cmyk":
        image.convert("CMYK").save(out, "JPEG")
    elif kind == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter
        image.transpose(Image.Transpose.ROTATE_90).save(out, "JPEG", exif=exif)
    elif kind == "animated":
        image.save(out, "GIF", save_all=True, append_images=[image.rotate(90)])
    elif kind == "huge":
        image.resize((12_000, 8_000)).save(out, "JPEG", quality=20)
    return out.getvalue()


def drawing() -> bytes:
    canvas = np.full((400, 400, 3), 255, np.uint8)
    cv2.circle(canvas, (200, 200), 140, (0, 0, 0), 4)
    for x in (150, 250):
        cv2.circle(canvas, (x, 160), 14, (0, 0, 0), -1)
    cv2.ellipse(canvas, (200, 250), (60, 30), 0, 0, 180, (0, 0, 0), 4)
    return jpeg(canvas)


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(500)


def _blurred(photo: Any) -> Any:
    return cv2.GaussianBlur(photo, (0, 0), 9).astype(np.uint8)


def several_faces() -> bytes:
    return jpeg(DEMO_PERSONS[0].picture.load())


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (lambda: b"", "INVALID_IMAGE_FORMAT"),
        (lambda: b"no picture", "INVALID_IMAGE_FORMAT"),
        (lambda: photo_of(2)[:2000], "INVALID_IMAGE_FORMAT"),
        (lambda: HEIC, "INVALID_IMAGE_FORMAT"),
        (lambda: picture("animated"), "ANIMATED"),
        (lambda: picture("huge"), "IMAGE_TOO_LARGE"),
        (lambda: jpeg(np.full((300, 300, 3), 128, np.uint8)), "NO_FACE"),
        (drawing, "NO_FACE"),
        (several_faces, "EXCEEDS_MAX_FACES"),
        (lambda: jpeg(_blurred(enrolment_photo(DEMO_PERSONS[2]))), None),
    ],
    ids=[
        "empty", "text", "cut", "heic", "animated", "96 MP", "no face", "drawing", "faces", "blur",
    ],
)  # fmt: skip
def test_a_bad_photo_is_refused_with_its_reason_and_leaves_nothing(
    client: TestClient, stack: Settings, photo: Any, reason: str | None
) -> None:
    before = written(stack)
    data = photo()
    told = problem(form(client, "Api Nobody", data), 422, reason)
    assert told["reason"]
    body = {"name": "Api Nobody", "photo": base64_of(data)}
    assert problem(client.post("/api/module1/enroll", json=body), 422)["reason"] == told["reason"]
    assert written(stack) == before


def test_odd_files_of_good_photos_are_taken(client: TestClient) -> None:
    first = good(form(client, "Api Carl", picture("cmyk")))
    url = f"/api/v1/employees/{first['employee_id']}/photos"
    for name, photo in (("turned.jpg", picture("rotated")), ("named.heic", photo_of(2))):
        more = client.post(url, files=[("photos", (name, photo))])
        assert good(more)["employee_id"] == first["employee_id"]


def test_other_wrong_bodies_are_refused(client: TestClient, stack: Settings) -> None:
    before = written(stack)
    url = "/api/module1/enroll"
    two = [("photo", ("a.jpg", photo_of(2))), ("photo", ("b.jpg", photo_of(2)))]
    problem(client.post(url, data={"name": "Api Two"}, files=two), 422)
    problem(client.post(url, files={"photo": ("a.jpg", photo_of(2))}), 422)
    problem(client.post(url, json={"name": "Api Two"}), 422)
    problem(client.post(url, json={"name": "Api Two", "photo": "no base64"}), 422)
    for name in ("", "   ", "x" * 201, "Unknown", "a\x00b", "a\nb"):
        problem(client.post(url, json={"name": name, "photo": base64_of(photo_of(2))}), 422)
    assert written(stack) == before


def test_an_employee_is_changed_and_removed(client: TestClient, stack: Settings) -> None:
    photos = [("photos", ("p.jpg", photo_of(4)))]
    url = "/api/v1/employees"
    made = client.post(url, data={"name": "Api Eve", "email": "eve@example.org"}, files=photos)
    done = good(made, 201)
    one = made.headers["location"]
    assert one == f"{url}/{done['employee_id']}"
    assert (done["photos_added"], done["name"]) == (1, "Api Eve")

    changed = good(client.patch(one, json={"status": "suspended", "is_authorized": False}))
    assert (changed["status"], changed["is_authorized"]) == ("suspended", False)
    assert changed["email"] == "eve@example.org"
    again = good(client.patch(one, json={"status": "suspended"}))
    assert again["revision"] == changed["revision"]  # nothing was different
    problem(client.patch(one, json={}), 422)
    problem(client.patch(one, json={"name": "Other"}), 422)
    problem(client.patch(one, json={"status": "gone"}), 422)

    found = good(client.get(url, params={"status": "suspended", "search": "api"}))
    assert [row["name"] for row in found["items"]] == ["Api Eve"]
    keys = list(open_store(stack).keys("enrollment_photos/Api_Eve"))
    assert keys
    assert client.delete(one).status_code == 204
    assert list(open_store(stack).keys("enrollment_photos/Api_Eve")) == []
    for method in (client.get, client.delete):
        problem(method(one), 404)
    problem(client.patch(one, json={"status": "left"}), 404)
    problem(client.post(f"{one}/photos", files=photos), 404)

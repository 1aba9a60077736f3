"""People correct what was decided, through the command line and through REST, on the real broker
and database with every service that has a part in it: the logs follow, and matchers learn."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import pytest
from confluent_kafka import Producer

from ops.local_stack.ports import free_port
from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.topics import MOTION_EVENTS, SNAPSHOTS
from sightline.identity.evidence import Vector
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.storage.objects import NoSuchObjectError, open_store
from sightline.streaming.client_config import producer_config
from tests.least_rights import rights_of
from tests.match_support import DIMENSION, PEOPLE, Walk, enrol_numbers, produce
from tests.stack.commands_support import sightline_json
from tests.stack.sinks_support import skip_what_is_there
from tests.support import (
    PATIENCE,
    Running,
    api_key,
    bearer,
    environment,
    eventually,
    sightline_command,
    start,
)

pytestmark = [pytest.mark.e2e, pytest.mark.stack]

SERVICES = ("match", "access-log", "visitor-log", "snapshots", "person-state", "outbox", "api")

WHO = """
SELECT DISTINCT global_id, name FROM (
    SELECT global_id, person_name AS name FROM access_logs WHERE track_uuid = %(track)s
    UNION ALL SELECT global_id, coalesce(name, 'Unknown') FROM person_tracks
        WHERE track_uuid = %(track)s
    UNION ALL SELECT global_id, coalesce(persons_name, 'Unknown') FROM snapshot_owners
        WHERE track_uuid = %(track)s
    UNION ALL SELECT global_id, persons_name FROM visitor_logs
        WHERE motion_event_id = %(event)s
    UNION ALL SELECT global_id, coalesce(assigned_name, 'Unknown') FROM detected_persons
        WHERE global_id = (SELECT global_id FROM person_tracks WHERE track_uuid = %(track)s)
) AS said
"""

ROWS = """
SELECT (SELECT count(*) FROM access_logs WHERE track_uuid = %(track)s)
    + (SELECT count(*) FROM person_tracks WHERE track_uuid = %(track)s AND global_id IS NOT NULL)
    + (SELECT count(*) FROM snapshot_owners WHERE track_uuid = %(track)s)
    + (SELECT count(*) FROM visitor_logs WHERE motion_event_id = %(event)s)
    + (SELECT count(*) FROM detected_persons WHERE global_id =
        (SELECT global_id FROM person_tracks WHERE track_uuid = %(track)s))
"""


class Way(Protocol):
    """How people correct."""

    def name(self, person: int, name: str) -> None: ...
    def merge(self, person: int, into: int) -> None: ...
    def split(self, person: int, *tracks: str) -> int: ...
    def not_this_person(self, track: str) -> int: ...
    def forget(self, person: int) -> None: ...


class CommandLine:
    """`sightline persons`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def name(self, person: int, name: str) -> None:
        self._run("name", str(person), name)

    def merge(self, person: int, into: int) -> None:
        self._run("merge", str(person), str(into))

    def split(self, person: int, *tracks: str) -> int:
        return int(self._run("split", str(person), *tracks)["new_global_id"])

    def not_this_person(self, track: str) -> int:
        return int(self._run("reject", track)["new_global_id"])

    def forget(self, person: int) -> None:
        self._run("forget", str(person))

    def _run(self, *arguments: str) -> Any:
        return sightline_json(self._settings, "persons", *arguments)


class Rest:
    """The service `api`."""

    def __init__(self, address: str, key: str) -> None:
        self._address = f"{address}/api/v1"
        self._headers = {"Content-Type": "application/json"} | bearer(key)

    def name(self, person: int, name: str) -> None:
        self._ask("PUT", f"/persons/{person}/name", {"name": name})

    def merge(self, person: int, into: int) -> None:
        self._ask("POST", f"/persons/{person}/merge", {"into": into})

    def split(self, person: int, *tracks: str) -> int:
        return int(self._ask("POST", f"/persons/{person}/split", {"tracks": tracks})["global_id"])

    def not_this_person(self, track: str) -> int:
        return int(self._ask("POST", f"/tracks/{track}/not-this-person", {})["global_id"])

    def forget(self, person: int) -> None:
        self._ask("DELETE", f"/persons/{person}", None)

    def _ask(self, method: str, path: str, body: object) -> Any:
        request = urllib.request.Request(
            self._address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def api(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The services, each in a process of its own; the address of the API."""
    skip_what_is_there(stack)
    folder = tmp_path_factory.mktemp("services")
    port = free_port(set())
    address = f"http://127.0.0.1:{port}"
    env = environment(
        stack.home,
        SIGHTLINE_API__PORT=str(port),
        SIGHTLINE_SINKS__PERSON_STATE_SECONDS="0.5",
    )

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    processes: dict[str, Running] = {}
    try:
        for name in SERVICES:
            processes[name] = start(
                sightline_command("run", name), folder / f"{name}.log",
                env=env | rights_of(stack, name),
            )  # fmt: skip
        eventually(answers, what="the API")
        yield address
        for name, process in processes.items():
            assert process.poll() is None, (folder / f"{name}.log").read_text()
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(PATIENCE)


class Place:
    """A site of its own with one camera, and what its logs say."""

    def __init__(self, settings: Settings, db: Connection, site: str) -> None:
        self.settings = settings
        self.site = site
        self.camera = f"{site}-door"
        self._db = db
        self._walks = 0
        db.execute(
            "INSERT INTO cameras (camera_id, uri, site_id, fleet, slot)"
            " VALUES (%s, 'none', %s, %s, 0)",
            (self.camera, site, site),
        )

    def walk(
        self, person: int, *, vectors: Callable[[int], Vector] | None = None, ends: bool = True
    ) -> Walk:
        """Somebody passes a minute after the one before: motion, a picture, shots, the end."""
        walk = Walk(person, self.camera, self.site, at_s=60.0 * self._walks)
        self._walks += 1
        self._tell(
            MOTION_EVENTS.name,
            self.camera,
            pb.MotionEvent(
                event_id=self.event(walk), camera_id=self.camera, site_id=self.site,
                kind=pb.MotionEvent.STARTED, at_us=walk.start_us, started_at_us=walk.start_us,
            ),
        )  # fmt: skip
        self._tell(
            SNAPSHOTS.name,
            walk.track_id,
            pb.Snapshot(
                track_id=walk.track_id, camera_id=self.camera, site_id=self.site,
                captured_at_us=walk.start_us, jpeg=walk.track_id.encode(), quality=0.5,
            ),
        )  # fmt: skip
        self.see(walk, range(4), vectors=vectors, ends=ends)
        return walk

    def see(
        self,
        walk: Walk,
        shots: range,
        *,
        vectors: Callable[[int], Vector] | None = None,
        ends: bool = True,
    ) -> None:
        """Shots of a walk, and its end."""
        seen = [walk.shot(n, vector=vectors(n) if vectors else None) for n in shots]
        produce(self.settings, [*seen, *([walk.end()] if ends else [])], name=self.site)

    def event(self, walk: Walk) -> str:
        return ids.motion_event_id(self.camera, walk.start_us)

    def who(self, walk: Walk) -> tuple[int, str]:
        """Whom all five logs name, once they all have it and agree."""
        asked = {"track": walk.track_id, "event": self.event(walk)}

        def agreed() -> tuple[int, str] | None:
            said = self._db.execute(WHO, asked).fetchall()
            count = self._db.execute(ROWS, asked).fetchone()
            return said[0] if count == (5,) and len(said) == 1 else None

        found = eventually(agreed, what=f"all logs on {walk.track_id}")
        assert found is not None
        return found

    def becomes(self, walk: Walk, who: tuple[int, str], since: float) -> float:
        """All logs come to say it; how many seconds after a moment that was."""
        eventually(lambda: self.who(walk) == who, what=f"{who}")
        return time.monotonic() - since

    def picture(self, walk: Walk) -> tuple[str, bytes] | None:
        """Where the access log says that the picture of a walk is, and what is there."""
        row = self._db.execute(
            "SELECT snapshot_path FROM access_logs WHERE track_uuid = %s", (walk.track_id,)
        ).fetchone()
        if row is None or row[0] is None:
            return None
        try:
            return row[0], open_store(self.settings).get(row[0])
        except NoSuchObjectError:
            return None  # it was renamed in between

    def _tell(self, topic: str, key: str, message: pb.MotionEvent | pb.Snapshot) -> None:
        producer = Producer(producer_config(self.settings, f"test-{self.site}"))
        producer.produce(topic, message.SerializeToString(), key=key)
        assert producer.flush(60) == 0


def lookalike(person: int, like: int) -> Callable[[int], Vector]:
    """Shots of a person who looks so much like another that they are taken for them."""

    def shot(number: int) -> Vector:
        vector = np.zeros(DIMENSION, np.float32)
        noise = np.random.default_rng([person, number]).normal(size=DIMENSION - PEOPLE)
        vector[like], vector[person] = 0.78, 0.6
        vector[PEOPLE:] = noise / np.linalg.norm(noise) * np.sqrt(1 - 0.78**2 - 0.6**2)
        return vector

    return shot


@pytest.fixture(scope="module")
def db(stack: Settings) -> Iterator[Connection]:
    with connect(stack, autocommit=True) as db:
        yield db


@pytest.mark.parametrize(("kind", "first"), [("command-line", 40), ("rest", 50)])
def test_corrections_are_in_all_logs_at_once_and_in_all_that_comes(
    stack: Settings,
    api: str,
    db: Connection,
    kind: str,
    first: int,
    record_property: Callable[[str, object], None],
) -> None:
    place = Place(stack, db, f"corrected-{kind}")
    way: Way = Rest(api, api_key(stack)) if kind == "rest" else CommandLine(stack)
    ann, courier, double, guest, visitor = range(first, first + 5)
    ann_name = f"Ann of {kind}"
    ann_id = ids.global_id(enrol_numbers(stack, ann_name, ann))
    took = {}

    # A name.
    walks = [place.walk(courier), place.walk(guest)]
    (one, _unknown), (other, _unknown) = [place.who(walk) for walk in walks]
    assert one != other
    eventually(lambda: place.picture(walks[0]))
    since = time.monotonic()
    way.name(one, "Courier")
    took["name"] = place.becomes(walks[0], (one, "Courier"), since)
    eventually(lambda: (place.picture(walks[0]) or ("",))[0].startswith("known/Courier_"))
    assert place.picture(walks[0])[1] == walks[0].track_id.encode()  # type: ignore[index]

    # Merged: what was, and what comes.
    since = time.monotonic()
    way.merge(other, one)
    took["merge"] = place.becomes(walks[1], (one, "Courier"), since)
    walks.append(place.walk(guest))
    assert place.who(walks[2]) == (one, "Courier")

    # Split: the guest was somebody else after all.
    since = time.monotonic()
    new = way.split(one, walks[1].track_id, walks[2].track_id)
    took["split"] = place.becomes(walks[1], (new, "Unknown"), since)
    assert place.who(walks[2]) == (new, "Unknown")
    assert place.who(walks[0]) == (one, "Courier")
    assert place.who(place.walk(guest)) == (new, "Unknown")
    assert place.who(place.walk(courier)) == (one, "Courier")

    # Not this person: who looks like Ann is never called Ann again, and Ann still is.
    face = lookalike(double, ann)
    mistaken = place.walk(double, vectors=face)
    assert place.who(mistaken) == (ann_id, ann_name)
    since = time.monotonic()
    not_ann = way.not_this_person(mistaken.track_id)
    took["not this person"] = place.becomes(mistaken, (not_ann, "Unknown"), since)
    again = place.walk(double, vectors=lambda number: face(number + 10))
    assert place.who(again) == (not_ann, "Unknown")
    assert place.who(place.walk(ann)) == (ann_id, ann_name)

    # While a track is live.
    live = place.walk(visitor, ends=False)
    (fresh, _unknown) = place.who(live)
    since = time.monotonic()
    way.merge(fresh, ann_id)
    took["merge while live"] = place.becomes(live, (ann_id, ann_name), since)
    place.see(live, range(4, 8))
    assert place.who(place.walk(courier)) == (one, "Courier")  # all before it has been written
    assert place.who(live) == (ann_id, ann_name)

    # Forgotten: somebody new.
    way.forget(one)
    stranger, name = place.who(place.walk(courier))
    assert stranger != one
    assert name == "Unknown"

    for what, seconds in took.items():
        record_property(f"{kind}: {what}, s", round(seconds, 3))

"""A small world whose logs all sinks have written, to be corrected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.naming import outbox_context
from schemas.topics import FACTS
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.encryption import Encryption
from sightline.storage.objects import EncryptedStore, FolderStore
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.runtime.postgres import PostgresSink
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.stack.sinks_support import World, write

T = TypeVar("T")

_LOGGED = {
    "access": "SELECT track_uuid::text, global_id, person_name, employee_id::text, access_status,"
    " is_authorized, flagged FROM access_logs WHERE site_id = %(site)s",
    "visits": "SELECT visit.visitor_log_id::text, visit.global_id, visit.persons_name,"
    " visit.employee_id::text, visit.confidence_score FROM visitor_logs visit"
    " WHERE visit.camera_name LIKE %(cameras)s",
    "owners": "SELECT track_uuid::text, global_id, persons_name FROM snapshot_owners"
    " WHERE camera_id LIKE %(cameras)s",
    "tracks": "SELECT track_uuid::text, global_id, name, person_id::text FROM person_tracks"
    " WHERE site_id = %(site)s",
    "persons": "SELECT DISTINCT known.global_id, known.assigned_name, known.person_id::text,"
    " known.total_appearances FROM detected_persons known JOIN person_tracks track"
    " USING (global_id) WHERE track.site_id = %(site)s",
}

_FORGET_LOGS = """
DELETE FROM detected_persons USING person_tracks track
    WHERE detected_persons.global_id = track.global_id AND track.site_id = %(site)s;
DELETE FROM person_tracks WHERE site_id = %(site)s;
DELETE FROM visit_evidence USING motion_events event
    WHERE event.event_id = motion_event_id AND event.camera_id LIKE %(cameras)s;
DELETE FROM motion_events WHERE camera_id LIKE %(cameras)s;
DELETE FROM access_logs WHERE site_id = %(site)s;
DELETE FROM snapshots WHERE camera_id LIKE %(cameras)s;
DELETE FROM snapshot_owners WHERE camera_id LIKE %(cameras)s;
"""


class Logs:
    """What the four sinks write of a world, and corrections of it."""

    def __init__(self, settings: Settings, world: World, folder: Path) -> None:
        self.settings = settings
        self.world = world
        self.store = EncryptedStore(FolderStore(folder), Encryption(settings))
        self._told: list[Message] = []

    def sinks(self) -> list[PostgresSink]:
        """All four."""
        return [
            AccessLog(self.settings),
            VisitorLog(self.settings),
            PersonState(self.settings),
            Snapshots(self.settings, self.store),
        ]

    def tell(self, *messages: Message) -> None:
        """Each sink hears of what it reads, and does what is due."""
        self._told += messages
        for sink in self.sinks():
            heard = [one for one in messages if type(one) in sink.topics.values()]
            write(self.settings, sink, heard, idle=True)

    def tell_all_again(self) -> None:
        """As if the sinks had written nothing, and everything were delivered now."""
        for statement in _FORGET_LOGS.split(";\n"):
            self.world.db.execute(statement, self._asked())
        told, self._told = self._told, []
        self.tell(*told)
        self.settle()

    def settle(self) -> None:
        """The snapshot sink does what is due by time."""
        write(self.settings, Snapshots(self.settings, self.store), [], [], idle=True)

    def correct(self, correction: Callable[..., T], *what: Any) -> T:
        """Make a correction in a transaction of its own."""
        with connect(self.settings) as db, db.cursor() as cursor:
            return correction(cursor, *what)

    def said(self) -> dict[str, list[tuple[Any, ...]]]:
        """What all logs say of the world, in an order of their own."""
        logged = {
            log: sorted(self.world.db.execute(query, self._asked()).fetchall(), key=str)
            for log, query in _LOGGED.items()
        }
        return logged | {"pictures": sorted(self.pictures().items())}

    def pictures(self) -> dict[str, str]:
        """Of each track where its picture lies; the access log's path leads to one."""
        rows = self.world.db.execute(
            "SELECT track_uuid::text, snapshot_path FROM access_logs"
            " WHERE site_id = %s AND snapshot_path IS NOT NULL",
            (self.world.site,),
        ).fetchall()
        for _track, path in rows:
            assert self.store.get(path)
        return dict(rows)

    def who(self, start: float) -> tuple[int, str]:
        """Whom all logs name for the track that began at a time."""
        track = self.world.track(start)
        found = {
            (log[global_id], log[name] or "Unknown")
            for rows, global_id, name in ((self.said()["access"], 1, 2),
                                          (self.said()["owners"], 1, 2),
                                          (self.said()["tracks"], 1, 2))
            for log in rows
            if log[0] == track
        }  # fmt: skip
        (one,) = found
        assert one[0] in {visit[1] for visit in self.said()["visits"]}
        assert one[0] in {person[0] for person in self.said()["persons"]}
        return one

    def fact(self, key: str) -> pb.Fact | None:
        """What the matchers were told last about a key; an empty one is a tombstone."""
        row = self.world.db.execute(
            "SELECT value FROM outbox WHERE topic = %s AND key = %s ORDER BY id DESC LIMIT 1",
            (FACTS.name, key.encode()),
        ).fetchone()
        if row is None:
            return None
        sealed = row[0] or b""
        return pb.Fact.FromString(
            Encryption(self.settings).decrypt(sealed, outbox_context(FACTS.name, key))
        )

    def person_fact(self, global_id: int) -> pb.PersonCorrection:
        fact = self.fact(f"person|{global_id}")
        assert fact
        return fact.person

    def _asked(self) -> dict[str, str]:
        return {"site": self.world.site, "cameras": f"%-{self.world.id}"}

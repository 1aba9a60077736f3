"""A window of a small world that has been seen twice: live, and by a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from ops.runs.tables import create_schema, drop_schema
from schemas import sightline_pb2 as pb
from schemas.naming import run_schema
from schemas.topics import LIVE
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import FolderStore, open_store
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.promotion_router import with_promotions
from sinks.runtime.postgres import PostgresSink
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.stack.sinks_support import World, at, write

_SHOWN = {
    "access": "SELECT * FROM access_logs WHERE site_id = %(site)s",
    "visits": "SELECT * FROM visitor_logs WHERE camera_name LIKE %(cameras)s",
    "evidence": "SELECT evidence.* FROM visit_evidence evidence JOIN motion_events event"
    " ON event.event_id = motion_event_id WHERE event.camera_id LIKE %(cameras)s",
    "tracks": "SELECT * FROM person_tracks WHERE site_id = %(site)s",
    "faces": "SELECT face.* FROM track_faces face JOIN person_tracks USING (track_uuid)"
    " WHERE site_id = %(site)s",
    "owners": "SELECT * FROM snapshot_owners WHERE camera_id LIKE %(cameras)s",
    "pictures": "SELECT * FROM snapshots WHERE camera_id LIKE %(cameras)s",
    "persons": "SELECT global_id, assigned_name, person_id, total_appearances, total_detections,"
    " cameras_visited, first_seen, last_seen FROM detected_persons"
    " WHERE cameras_visited ? %(camera)s",
    "employees": "SELECT id, last_seen FROM employees WHERE name LIKE %(names)s",
}


class Pass:
    """One pass over the frames: what its sinks write."""

    def __init__(self, settings: Settings, world: World, run: str, folder: Path | None) -> None:
        self.settings = settings.model_copy(update={"run": run})
        self.world = world
        self.store = FolderStore(folder) if folder else open_store(settings)

    def sinks(self) -> list[PostgresSink]:
        """All four, as their services run them."""
        store = self.store
        plain: list[PostgresSink] = [
            AccessLog(self.settings),
            VisitorLog(self.settings),
            PersonState(self.settings),
            Snapshots(self.settings, store),
        ]
        return [with_promotions(sink, self.settings) for sink in plain]

    def tell(self, *messages: Message) -> None:
        """Each sink hears of what it reads, and does what is due."""
        for sink in self.sinks():
            heard = [one for one in messages if type(one) in sink.topics.values()]
            write(self.settings, sink, heard, [], idle=True)

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """What the tables that people query say of the world."""
        world = self.world
        asked = {
            "site": world.site,
            "camera": world.camera,
            "cameras": f"%-{world.id}",
            "names": f"% {world.id}",
        }
        with connect(self.settings) as db:
            return {
                table: sorted(_plain(db.execute(query, asked)), key=str)
                for table, query in _SHOWN.items()
            }

    def names(self) -> dict[str, tuple[str, int]]:
        """Whom the access log names, by track."""
        rows = self.shown()["access"]
        return {str(row["track_uuid"]): (row["person_name"], row["global_id"]) for row in rows}


def _plain(cursor: Any) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description]
    return [
        {name: str(value) if name in ("embedding", "face") else value
         for name, value in zip(names, row, strict=True)}
        for row in cursor
    ]  # fmt: skip


def window(world: World, tracks: Iterable[float]) -> list[Message]:
    """One motion event of 20 s with frames of some tracks, and a picture of each."""
    starts = list(tracks)
    boxes = [(start, (10.0, 10.0, 30.0, 90.0)) for start in starts]
    ended = world.motion(pb.MotionEvent.ENDED, 0, 20)
    ended.frames = 3
    return [
        world.motion(pb.MotionEvent.STARTED, 0),
        world.frame(1, boxes),
        world.frame(2, boxes),
        world.frame(20, last=True),
        ended,
        *(world.shot(0.5, start=start, captured=start + 0.5) for start in starts),
    ]


def begin_run(live: Pass, name: str, events: Iterable[str], *, stage: str = "done") -> Pass:
    """A run over motion events, as a replay makes it."""
    assert live.settings.run == LIVE
    with connect(live.settings) as db, db.cursor() as cursor:
        create_schema(cursor, name)
        cursor.execute(
            f"INSERT INTO {run_schema(name)}.motion_events (event_id, camera_id, started_at,"
            " ended_at, end_reported, first_sequence, last_sequence, frames)"
            " SELECT event_id, camera_id, started_at, ended_at, end_reported, first_sequence,"
            " last_sequence, frames FROM public.motion_events WHERE event_id = ANY(%s::uuid[])",
            (list(events),),
        )
        cursor.execute(
            "INSERT INTO runs (name, from_at, to_at, cameras, pack, stage)"
            " VALUES (%s, to_timestamp(%s), to_timestamp(%s), %s, 'test-pack', %s)",
            (name, at(0) / 1e6, at(20) / 1e6, [live.world.camera], stage),
        )
    return Pass(live.settings, live.world, name, None)


def forget_run(settings: Settings, name: str) -> None:
    """As if it had never been."""
    with connect(settings) as db, db.cursor() as cursor:
        drop_schema(cursor, name)
        cursor.execute("DELETE FROM runs WHERE name = %s", (name,))

"""What each service may do in Kafka and PostgreSQL: the one table that both are set up from.

Nothing else is allowed to anybody but the person at the command line (`CLI`), who may everything.
Words for tables are those of GRANT; a column is named where a service has no business with others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import topics
from schemas.naming import match_group, sink_group, vision_group
from schemas.topics import (
    DEAD_LETTERS,
    FACES,
    FACTS,
    GALLERY,
    LIVE,
    MATCH_STATE,
    MOTION_EVENTS,
    SIGHTINGS,
    SNAPSHOTS,
    TRACKS,
)

CLI = "cli"
"""The person at the command line, who sets everything up."""

ANY = "*"
"""At the end of a name: every name that begins so."""

_FRAMES = topics.frames("").name + ANY
_VISION_STATE = topics.vision_state("").name + ANY

_EVERY_TOPIC = (
    _FRAMES,
    _VISION_STATE,
    *(topic.name + ANY for topic in topics.OF_A_RUN),  # and those of runs
    MOTION_EVENTS.name,
    DEAD_LETTERS.name,
    GALLERY.name,
    FACTS.name,
    MATCH_STATE.name,
)

READ = "SELECT"
KEEP = "SELECT, INSERT, UPDATE"
OWN = "SELECT, INSERT, UPDATE, DELETE"


@dataclass(frozen=True, slots=True)
class Rights:
    """What one service may do. A name that ends in `ANY` stands for all that begin so."""

    reads: tuple[str, ...] = ()  # topics
    writes: tuple[str, ...] = ()  # topics
    asks: tuple[str, ...] = ()  # topics whose settings it reads
    groups: tuple[str, ...] = ()  # consumer groups that it is in
    watched: tuple[str, ...] = ()  # consumer groups that it looks at
    transactions: tuple[str, ...] = ()  # transactional ids
    sees_cluster: bool = False  # the list of groups, and sizes on disk
    tables: Mapping[str, str] = field(default_factory=dict)  # the words of GRANT, by table


_EVERYBODY = {"sealing_keys": "SELECT, INSERT"}
"""Who connects says what key they seal with, and sees whether they lack one."""

_SINK = _EVERYBODY | {
    # What people have said.
    "corrections": READ,
    "track_corrections": READ,
    "person_aliases": READ,
    "person_names": READ,
    "erased_persons": READ,
    "erased_tracks": "SELECT, INSERT",
    "sink_offsets": KEEP,
    "given_up": OWN,
    "promoted_events": READ,
    "cameras": "SELECT (camera_id, site_id, entry_point, room_id)",
    "employees": "SELECT (id, global_id, name, status, is_authorized)",
}


def _sink(name: str, *reads: topics.Topic, tables: Mapping[str, str]) -> Rights:
    return Rights(
        reads=tuple(topic.name for topic in reads),
        writes=(DEAD_LETTERS.name,),
        groups=(sink_group(name, LIVE),),
        tables=_SINK | dict(tables),
    )


RIGHTS: Mapping[str, Rights] = {
    "cameras": Rights(
        reads=(_FRAMES,),  # which of a camera's frames Kafka has already
        writes=(_FRAMES, MOTION_EVENTS.name),
        groups=("sightline-camera-" + ANY,),
        transactions=("sightline-camera-" + ANY,),
        tables=_EVERYBODY | {"cameras": "SELECT, UPDATE (status, status_detail, status_at)"},
    ),
    "vision": Rights(
        reads=(_FRAMES, _VISION_STATE),
        writes=(TRACKS.name, FACES.name, SNAPSHOTS.name, DEAD_LETTERS.name, _VISION_STATE),
        asks=(_VISION_STATE,),
        groups=(vision_group(ANY, LIVE),),
        transactions=(vision_group(ANY, LIVE),),
    ),
    "match": Rights(
        reads=(FACES.name, GALLERY.name, FACTS.name, MATCH_STATE.name),
        writes=(SIGHTINGS.name, MATCH_STATE.name, DEAD_LETTERS.name),
        groups=(match_group(LIVE),),
    ),
    "access-log": _sink(
        "access-log",
        SIGHTINGS,
        tables={
            "access_logs": OWN,
            "snapshots": "SELECT (sighting_id, path)",
            "employees": "SELECT (id, global_id, name, status, is_authorized, aws_face_id,"
            " last_seen), UPDATE (last_seen)",
        },
    ),
    "visitor-log": _sink(
        "visitor-log",
        SIGHTINGS,
        MOTION_EVENTS,
        TRACKS,
        tables={"motion_events": KEEP, "visit_evidence": OWN, "visitor_logs": OWN},
    ),
    "snapshots": _sink(
        "snapshots",
        SNAPSHOTS,
        SIGHTINGS,
        tables={
            "snapshots": OWN,
            "snapshot_owners": OWN,
            "pending_snapshots": OWN,
            "stale_snapshots": OWN,
            "stale_objects": OWN,
            "access_logs": "SELECT (id, snapshot_path), UPDATE (snapshot_path)",
        },
    ),
    "person-state": _sink(
        "person-state",
        TRACKS,
        SIGHTINGS,
        tables={
            "person_tracks": OWN,
            "detected_persons": OWN,
            "stale_persons": OWN,
            # Written by triggers.
            "track_faces": OWN,
            "person_faces": OWN,
            # How a corrected track looks is told to the matchers.
            "access_logs": "SELECT (track_uuid, epoch, site_id, timestamp)",
            "outbox": "INSERT",
        },
    ),
    "retention": Rights(
        reads=_EVERY_TOPIC,  # how old the oldest unread record is
        asks=_EVERY_TOPIC,
        groups=("sightline-holdings",),
        watched=(ANY,),
        sees_cluster=True,
        tables=_EVERYBODY
        | {
            "sink_offsets": READ,
            "cameras": "SELECT (camera_id, site_id)",
            "track_corrections": READ,
            "face_templates": "SELECT (template_id)",
            "promoted_events": "SELECT, DELETE",
            "access_logs": "SELECT, DELETE, UPDATE (snapshot_path)",
            "motion_events": "SELECT, DELETE",
            "visit_evidence": "SELECT, DELETE",
            "visitor_logs": "SELECT, DELETE",
            "person_tracks": "SELECT, DELETE",
            "stale_persons": "SELECT, INSERT",
            "snapshots": "SELECT, DELETE",
            "snapshot_owners": "SELECT, DELETE",
            "stale_objects": KEEP,
        },
    ),
    "outbox": Rights(
        writes=(GALLERY.name, FACTS.name),
        tables=_EVERYBODY | {"outbox": "SELECT, DELETE"},
    ),
    "api": Rights(
        reads=(SIGHTINGS.name,),
        writes=(FACES.name, GALLERY.name, FACTS.name),
        groups=("sightline-api",),
        tables=_EVERYBODY
        | {
            # Who comes, and what they did.
            "api_keys": "SELECT, UPDATE (last_used_at)",
            "users": "SELECT, INSERT, UPDATE (name, role, password_hash, signed_in_at)",
            "sessions": OWN,
            "audit": "SELECT, INSERT",
            "employees": OWN,
            "face_templates": OWN,
            "outbox": "SELECT, INSERT, DELETE",
            # What people say, and what follows from it.
            "corrections": "SELECT, INSERT",
            "track_corrections": OWN,
            "person_aliases": OWN,
            "person_names": OWN,
            "not_same": OWN,
            "access_logs": "SELECT, UPDATE",
            "visitor_logs": OWN,
            "visit_evidence": "SELECT, UPDATE",
            "person_tracks": "SELECT, UPDATE",
            "detected_persons": OWN,
            "stale_persons": OWN,
            "track_faces": OWN,
            "person_faces": OWN,
            "snapshot_owners": "SELECT, UPDATE",
            "snapshots": READ,
            "stale_snapshots": "SELECT, INSERT",
            "stale_objects": OWN,
            "calibrations": KEEP,
            "walking_times": READ,
            "motion_events": READ,
            "cameras": KEEP,
            "rooms": READ,
            "runs": READ,
            "promotions": READ,
            "promoted_events": READ,
        },
    ),
}


def user(service: str) -> str:
    """What a service is called in Kafka, in PostgreSQL and in its certificate."""
    return f"sightline-{service}"

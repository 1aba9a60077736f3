"""Rights of each sink, and of the service `retention`, in Kafka and PostgreSQL."""

from collections.abc import Mapping

from schemas import topics
from schemas.naming import client_id, sink_group
from sightline.runtime.rights import ANY, EVERY_SERVICE, MANAGE, READ, UPSERT, Rights, granted

# Of the topics that a run has of its own, those of every run.
_EVERY_TOPIC = tuple(
    topic.name + (ANY if topic in topics.RUN_TOPICS or topic.name.endswith(".") else "")
    for topic in topics.all_topics(("",))
)

# What people have said, and promotions.
_READ_BY_SINKS = granted(
    READ, "corrections", "track_corrections", "person_aliases", "person_names", "erased_persons",
    "promoted_events",
)  # fmt: skip

_SINK = (
    EVERY_SERVICE
    | _READ_BY_SINKS
    | {
        "erased_tracks": "SELECT, INSERT",
        "sink_offsets": UPSERT,
        "given_up": MANAGE,
        "cameras": "SELECT (camera_id, site_id, entry_point, room_id)",
        "employees": "SELECT (id, global_id, name, status, is_authorized)",
    }
)


def _sink(name: str, *reads: topics.Topic, tables: Mapping[str, str]) -> Rights:
    return Rights(
        read_topics=tuple(topic.name for topic in reads),
        written_topics=(topics.DEAD_LETTERS.name,),
        groups=(sink_group(name, topics.LIVE),),
        tables=_SINK | dict(tables),
    )


ACCESS_LOG = _sink(
    "access-log",
    topics.SIGHTINGS,
    tables={
        "access_logs": MANAGE,
        "camera_fixtures": MANAGE,
        "snapshots": "SELECT (sighting_id, path)",
        "employees": "SELECT (id, global_id, name, status, is_authorized, aws_face_id,"
        " last_seen), UPDATE (last_seen)",
    },
)

VISITOR_LOG = _sink(
    "visitor-log",
    topics.SIGHTINGS,
    topics.MOTION_EVENTS,
    topics.TRACKS,
    tables={"motion_events": UPSERT, "visit_evidence": MANAGE, "visitor_logs": MANAGE},
)

SNAPSHOTS_SINK = _sink(
    "snapshots",
    topics.SNAPSHOTS,
    topics.SIGHTINGS,
    tables={"access_logs": "SELECT (id, snapshot_path), UPDATE (snapshot_path)"}
    | granted(MANAGE, "snapshots", "snapshot_owners", "pending_snapshots")
    | granted(MANAGE, "stale_snapshots", "stale_objects"),
)

PERSON_STATE = _sink(
    "person-state",
    topics.TRACKS,
    topics.SIGHTINGS,
    tables={
        # How a corrected track looks is told to the matchers.
        "access_logs": "SELECT (track_uuid, epoch, site_id, timestamp)",
        "outbox": "INSERT",
    }
    | granted(MANAGE, "person_tracks", "detected_persons", "stale_persons", "camera_clocks")
    | granted(MANAGE, "track_faces", "person_faces"),  # written by triggers
)

RETENTION = Rights(
    read_topics=_EVERY_TOPIC,  # how old the oldest unread record is
    described_topics=_EVERY_TOPIC,
    groups=(client_id("holdings"),),
    described_groups=(ANY,),
    describes_cluster=True,
    tables=EVERY_SERVICE
    | {
        "sink_offsets": READ,
        "cameras": "SELECT (camera_id, site_id)",
        "track_corrections": READ,
        "face_templates": "SELECT (template_id)",
        "promoted_events": "SELECT, DELETE",
        "access_logs": "SELECT, DELETE, UPDATE (snapshot_path)",
        "stale_persons": "SELECT, INSERT",
        "stale_objects": UPSERT,
    }
    | granted("SELECT, DELETE", "motion_events", "visit_evidence", "visitor_logs")
    | granted("SELECT, DELETE", "person_tracks", "snapshots", "snapshot_owners"),
)

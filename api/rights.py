"""Rights of the service `api` in Kafka and PostgreSQL."""

from schemas.naming import client_id
from schemas.topics import CROP_OUTCOMES, CROPS, FACTS, GALLERY, SIGHTINGS
from sightline.runtime.rights import EVERY_SERVICE, MANAGE, READ, UPSERT, Rights, granted

API = Rights(
    read_topics=(SIGHTINGS.name, CROP_OUTCOMES.name),
    written_topics=(CROPS.name, GALLERY.name, FACTS.name),
    groups=(client_id("api"),),
    tables=EVERY_SERVICE
    # Who comes, and what they did.
    | {
        "api_keys": "SELECT, UPDATE (last_used_at)",
        "users": "SELECT, INSERT, UPDATE (name, role, password_hash, signed_in_at)",
        "outbox": "SELECT, INSERT, DELETE",
    }
    | granted("SELECT, INSERT", "audit", "corrections", "stale_snapshots")
    | granted(MANAGE, "sessions", "employees", "face_templates")
    # What people say, and what follows from it.
    | granted(MANAGE, "track_corrections", "person_aliases", "person_names", "not_same")
    | granted(MANAGE, "visitor_logs", "detected_persons", "stale_persons", "stale_objects")
    | granted(MANAGE, "track_faces", "person_faces")
    | granted(UPSERT, "calibrations", "cameras")
    | granted("SELECT, UPDATE", "access_logs", "visit_evidence", "person_tracks", "snapshot_owners")
    | granted(READ, "snapshots", "walking_times", "motion_events", "rooms", "runs")
    | granted(READ, "promotions", "promoted_events", "camera_clocks"),
)

"""Rights of the service `api` in Kafka and PostgreSQL."""

from schemas.naming import client_id
from schemas.topics import CROP_OUTCOMES, CROPS, FACTS, GALLERY, SIGHTINGS
from sightline.runtime.rights import EVERY_SERVICE, KEEP, OWN, READ, Rights

API = Rights(
    reads=(SIGHTINGS.name, CROP_OUTCOMES.name),
    writes=(CROPS.name, GALLERY.name, FACTS.name),
    groups=(client_id("api"),),
    tables=EVERY_SERVICE
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
)

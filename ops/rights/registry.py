"""Rights of every service, collected from the declarations beside the services."""

from collections.abc import Mapping

from api.rights import API
from processors.match.rights import MATCH
from processors.vision.rights import VISION
from producers.rights import CAMERAS, OUTBOX
from sightline.runtime.rights import Rights
from sinks.rights import ACCESS_LOG, PERSON_STATE, RETENTION, SNAPSHOTS_SINK, VISITOR_LOG

RIGHTS: Mapping[str, Rights] = {
    "cameras": CAMERAS,
    "vision": VISION,
    "match": MATCH,
    "access-log": ACCESS_LOG,
    "visitor-log": VISITOR_LOG,
    "snapshots": SNAPSHOTS_SINK,
    "person-state": PERSON_STATE,
    "retention": RETENTION,
    "outbox": OUTBOX,
    "api": API,
}
"""Rights by the name of the service."""

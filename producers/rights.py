"""Rights of the producers in Kafka and PostgreSQL."""

from schemas import topics
from schemas.naming import camera_group
from schemas.topics import FACTS, GALLERY, MOTION_EVENTS
from sightline.runtime.rights import ANY, EVERY_SERVICE, Rights

_FRAMES = topics.frames("").name + ANY

CAMERAS = Rights(
    read_topics=(_FRAMES,),  # which of a camera's frames Kafka has already
    written_topics=(_FRAMES, MOTION_EVENTS.name),
    groups=(camera_group(ANY),),
    transactional_ids=(camera_group(ANY),),
    tables=EVERY_SERVICE | {"cameras": "SELECT, UPDATE (status, status_detail, status_at)"},
)

OUTBOX = Rights(
    written_topics=(GALLERY.name, FACTS.name), tables=EVERY_SERVICE | {"outbox": "SELECT, DELETE"}
)

"""Rights of the service `vision` in Kafka; it has none in the database."""

from schemas import topics
from schemas.naming import crops_group, vision_group
from schemas.topics import (
    CROP_OUTCOMES,
    CROP_STATE,
    CROPS,
    DEAD_LETTERS,
    FACES,
    LIVE,
    SNAPSHOTS,
    TRACKS,
)
from sightline.runtime.rights import ANY, Rights

_FRAMES = topics.frames("").name + ANY
_VISION_STATE = topics.vision_state("").name + ANY

VISION = Rights(
    reads=(_FRAMES, _VISION_STATE, CROPS.name, CROP_STATE.name),
    writes=(
        TRACKS.name,
        FACES.name,
        SNAPSHOTS.name,
        CROP_OUTCOMES.name,
        DEAD_LETTERS.name,
        _VISION_STATE,
        CROP_STATE.name,
    ),
    asks=(_VISION_STATE,),
    groups=(vision_group(ANY, LIVE), crops_group()),
    transactions=(vision_group(ANY, LIVE), crops_group() + ANY),
)

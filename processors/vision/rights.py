"""Rights of the service `vision` in Kafka; it has none in the database."""

from schemas import topics
from schemas.naming import crops_group, vision_group
from sightline.runtime.rights import ANY, Rights

_FRAMES = topics.frames("").name + ANY
_VISION_STATE = topics.vision_state("").name + ANY

VISION = Rights(
    read_topics=(_FRAMES, _VISION_STATE, topics.CROPS.name, topics.CROP_STATE.name),
    written_topics=(
        topics.TRACKS.name,
        topics.FACES.name,
        topics.SNAPSHOTS.name,
        topics.CROP_OUTCOMES.name,
        topics.DEAD_LETTERS.name,
        _VISION_STATE,
        topics.CROP_STATE.name,
    ),
    described_topics=(_VISION_STATE,),
    groups=(vision_group(ANY, topics.LIVE), crops_group()),
    transactional_ids=(vision_group(ANY, topics.LIVE), crops_group() + ANY),
)

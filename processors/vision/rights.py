"""What the service `vision` may do in Kafka; it has no way into the database."""

from schemas import topics
from schemas.naming import vision_group
from schemas.topics import DEAD_LETTERS, FACES, LIVE, SNAPSHOTS, TRACKS
from sightline.runtime.rights import ANY, Rights

_FRAMES = topics.frames("").name + ANY
_VISION_STATE = topics.vision_state("").name + ANY

VISION = Rights(
    reads=(_FRAMES, _VISION_STATE),
    writes=(TRACKS.name, FACES.name, SNAPSHOTS.name, DEAD_LETTERS.name, _VISION_STATE),
    asks=(_VISION_STATE,),
    groups=(vision_group(ANY, LIVE),),
    transactions=(vision_group(ANY, LIVE),),
)

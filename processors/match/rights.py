"""Rights of the service `match` in Kafka; it has none in the database."""

from schemas.naming import match_group
from schemas.topics import DEAD_LETTERS, FACES, FACTS, GALLERY, LIVE, MATCH_STATE, SIGHTINGS
from sightline.runtime.rights import Rights

MATCH = Rights(
    read_topics=(FACES.name, GALLERY.name, FACTS.name, MATCH_STATE.name),
    written_topics=(SIGHTINGS.name, MATCH_STATE.name, DEAD_LETTERS.name),
    groups=(match_group(LIVE),),
)

"""What a matcher shows of itself: whom it knows, and how far it is behind."""

from collections.abc import Collection, Iterator
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer

from processors.match.follow import KNOWN_BY
from processors.match.known import Known
from processors.match.state import SiteState
from schemas.topics import FACES, FACTS, GALLERY
from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.streaming.lag import At, LagGauges

_EVERY_SECONDS = 1.0


class Gauges:
    """Looks at a matcher once a second."""

    def __init__(self, app: faust.App, known: Known, clock: Clock) -> None:
        self._app = app
        self._known = known
        self._clock = clock
        self._faces = LagGauges(app.conf.id, [FACES.name])
        self._facts = LagGauges(KNOWN_BY, [GALLERY.name, FACTS.name])
        self._due = 0.0

    def look(self, sites: Collection[SiteState], follower: AIOKafkaConsumer | None) -> None:
        """Call often; `follower` is the consumer of what is known."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + _EVERY_SECONDS
        gallery, strangers = self._known.gallery, [site.strangers for site in sites]
        metrics.GALLERY_PEOPLE.set(len(gallery))
        metrics.GALLERY_TEMPLATES.set(gallery.templates)
        metrics.STRANGERS.set(sum(one.size for one in strangers))
        metrics.INDEX_BYTES.set(gallery.index_bytes + sum(one.index_bytes for one in strangers))
        self._faces.show(_of_faust(self._app), now)
        self._facts.show(_places(follower), now)


def _of_faust(app: faust.App) -> Iterator[At]:
    """Where faces are read; what Faust holds and has not acknowledged is yet to be taken."""
    consumer: Any = app.consumer
    first: dict[tuple[str, int], int] = {}
    for message in list(consumer.unacked):
        at = message.topic, message.partition
        first[at] = min(message.offset, first.get(at, message.offset))
    for place in _places(consumer._thread._consumer):
        if place.topic == FACES.name:
            yield place._replace(position=first.get(place[:2], place.position))


def _places(consumer: Any) -> Iterator[At]:
    """Where a consumer of aiokafka stands, and where its last answers say that partitions end.

    Its position is behind markers of transactions, unlike librdkafka's.
    """
    subscription = consumer._subscription.subscription if consumer is not None else None
    assignment = subscription.assignment if subscription is not None else None
    if assignment is None:
        return
    for tp in assignment.tps:
        state = assignment.state_value(tp)
        if state.has_valid_position and state.lso is not None:
            yield At(tp.topic, tp.partition, state.position, state.lso)

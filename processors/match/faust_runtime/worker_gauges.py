"""Gauges of a matcher: size of its galleries, and its lag."""

from collections.abc import Collection, Iterator
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer

from processors.match.faust_runtime.reference_follower import REFERENCE_CLIENT
from processors.match.index.gallery import GalleryIndex
from processors.match.site_matcher import SiteMatcher
from schemas.topics import FACES, FACTS, GALLERY
from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.streaming.lag import LagGauges, PartitionPosition

_INTERVAL_SECONDS = 1.0


class WorkerGauges:
    """Sets the gauges once a second."""

    def __init__(self, app: faust.App, gallery: GalleryIndex, clock: Clock) -> None:
        self._app = app
        self._gallery = gallery
        self._clock = clock
        self._faces_lag = LagGauges(app.conf.id, [FACES.name])
        self._reference_lag = LagGauges(REFERENCE_CLIENT, [GALLERY.name, FACTS.name])
        self._due = 0.0

    def update(
        self, sites: Collection[SiteMatcher], reference_consumer: AIOKafkaConsumer | None
    ) -> None:
        """Set the gauges where they are due; call it often."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + _INTERVAL_SECONDS
        metrics.GALLERY_PEOPLE.set(len(self._gallery.enrolled))
        metrics.GALLERY_TEMPLATES.set(self._gallery.indexes.templates)
        metrics.UNKNOWN_PERSONS.set(sum(len(site.state.unknown_persons) for site in sites))
        unknown_bytes = sum(site.unknown_index.indexes.bytes for site in sites)
        metrics.INDEX_BYTES.set(self._gallery.indexes.bytes + unknown_bytes)
        self._faces_lag.show(_faust_positions(self._app), now)
        self._reference_lag.show(_positions(reference_consumer), now)


def _faust_positions(app: faust.App) -> Iterator[PartitionPosition]:
    """Yield the positions in `faces`: events that are not acknowledged are still to be read."""
    consumer: Any = app.consumer
    first: dict[tuple[str, int], int] = {}
    for message in list(consumer.unacked):
        partition = message.topic, message.partition
        first[partition] = min(message.offset, first.get(partition, message.offset))
    for at in _positions(consumer._thread._consumer):
        if at.topic == FACES.name:
            yield at._replace(position=first.get(at[:2], at.position))


def _positions(consumer: Any) -> Iterator[PartitionPosition]:
    """Yield the positions of an aiokafka consumer, with the ends that its last fetches returned.

    Its position is behind markers of transactions, unlike librdkafka's.
    """
    subscription = consumer._subscription.subscription if consumer is not None else None
    assignment = subscription.assignment if subscription is not None else None
    if assignment is None:
        return
    for tp in assignment.tps:
        state = assignment.state_value(tp)
        if state.has_valid_position and state.lso is not None:
            yield PartitionPosition(tp.topic, tp.partition, state.position, state.lso)

"""Service `match`: face events of `faces` in, sightings out, by Faust.

    faces ──▶ search candidates ──▶ decide (pure) ──▶ sightings ──▶ state (changelog) ──▶ memory
    gallery, facts ──▶ reference data and indexes

The candidates of an event are searched before the pure decision step and handed to it. Its
sightings are delivered before its changes are stored, and these before its offset is committed
(`faust_runtime.worker.FaustWorker.commit`): whatever dies in between, the event is decided again,
from the state before or after it, with the same ids.
"""

import asyncio
import logging

from aiokafka.errors import KafkaError
from faust.exceptions import FaustError

from processors.match.decision.identification import DecisionRules
from processors.match.decision.step import inner_of
from processors.match.faust_runtime.faust_rules import end_process
from processors.match.faust_runtime.reference_follower import ReferenceFollower
from processors.match.faust_runtime.worker import SERVICE, FaustWorker, done_before_stop
from processors.match.faust_runtime.worker_gauges import WorkerGauges
from processors.match.index.gallery import GalleryIndex
from processors.match.reference.reference_data import ReferenceData
from processors.match.sighting_output import record_of, report
from processors.match.sites import Sites
from schemas import sightline_pb2 as pb
from sightline.runtime import metrics
from sightline.runtime.clock import CLOCK_TOLERANCE_US, SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.headers import Headers
from sightline.runtime.lifecycle import Stop, start_service
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import aiokafka_config
from sightline.streaming.records import Record

log = logging.getLogger(__name__)


class MatchService:
    """Whole chain of the service."""

    def __init__(self, settings: Settings) -> None:
        clock, kafka = SystemClock(), aiokafka_config(settings)
        reference = ReferenceData()
        gallery = GalleryIndex(reference.enrolled)
        self._clock = clock
        self._rules = DecisionRules.of(settings)
        self._worker = FaustWorker(settings, kafka, clock, self._process, self._assigned)
        self._sites = Sites(reference, gallery, self._worker.table)
        self._follower = ReferenceFollower(kafka, reference, gallery, self._sites.refresh)
        self._gauges = WorkerGauges(self._worker.app, gallery, clock)

    async def run(self, stop: Stop) -> None:
        """Work until `stop`.

        Raises:
            InfrastructureError: Kafka does not go on.
        """
        if await done_before_stop(self._follower.load(), stop):
            background = [self._follower.follow(), self._sites.erase()]
            await self._worker.run(stop, background, self._update_gauges)
        await self._follower.close()

    async def _process(self, record: Record, headers: Headers) -> None:
        """Decide an event, deliver what it led to, and apply its changes.

        Raises:
            InvalidRecord: A poison record.
        """
        event = record.decode(pb.FaceEvent)
        site_id, track_id = inner_of(event).site_id, inner_of(event).track_id
        async with self._sites.lock:
            site = self._sites.site(site_id)
            redelivered_from = self._worker.redelivered_from(record)
            with metrics.STAGE_SECONDS.labels("decide").time():
                step = site.decide(
                    event,
                    self._rules,
                    redelivered_from=redelivered_from,
                    latest_us=self._clock.now_us() + CLOCK_TOLERANCE_US,
                )
            for sighting in step.sightings:
                report(sighting)
            outs = [record_of(sighting) for sighting in step.sightings]
            await self._worker.commit(record, headers, outs, [*step.changes.records(site_id)])
            site.state.apply(step.changes)
            site.state.touch(track_id, record.offset)

    def _assigned(self) -> None:
        self._sites.assigned()

    def _update_gauges(self) -> None:
        self._gauges.update([*self._sites.loaded()], self._follower.consumer)


async def _serve(settings: Settings, stop: Stop) -> None:
    # Faust's objects belong to the loop that runs when they are made. A failure ends the process
    # here: on its way out of the loop it would wait for Faust's tasks, for ever.
    try:
        await MatchService(settings).run(stop)
    except (KafkaError, FaustError, InfrastructureError, TimeoutError) as error:
        log.error("match: Kafka does not go on: %s", error or type(error).__name__)  # noqa: TRY400
        end_process(1)
    except Exception:
        log.exception("match: failed")
        end_process(1)


def run(settings: Settings) -> None:
    """Run the service `match` until it is stopped."""
    asyncio.run(_serve(settings, start_service(SERVICE, settings)))

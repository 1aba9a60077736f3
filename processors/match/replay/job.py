"""Job `match-run`: matches the faces of a run, in one process and at once.

Live's faces of the sites are processed once more by the same step, and in the run's motion events
the run's faces take the place of live's: so unknown persons, their templates and the tracks of the
last minutes are at every moment as live had them. The sightings of the run's tracks are the
outcome, in one transaction with the offsets that they were made of.
"""

import asyncio
import logging
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processors.match.faust_runtime.reference_follower import ReferenceFollower
from processors.match.index.gallery import GalleryIndex
from processors.match.reference.reference_data import ReferenceData
from processors.match.replay.replay_pass import ReplayPass
from processors.match.replay.run_gallery import add_templates
from schemas.naming import match_group, of_run
from schemas.topics import FACES
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import start_service
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import connect
from sightline.storage.run_progress import gallery_revisions
from sightline.streaming import topic_reader
from sightline.streaming.client_config import aiokafka_config, consumer_config, producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from sightline.streaming.topic_reader import Offsets

log = logging.getLogger(__name__)

_TRANSACTION_TIMEOUT_SECONDS = 60.0


def run(settings: Settings) -> None:
    """Match the faces of the run that the settings name; returns when that is done."""
    stop = start_service("match-run", settings)
    stop.health.mark_ready()
    faces = of_run(FACES, settings.run).name
    ends = topic_reader.fetch_end_offsets(settings, faces)
    group = match_group(settings.run)
    if topic_reader.fetch_committed_offsets(settings, group, faces, ends) == ends and any(
        ends.values()
    ):
        log.info("match-run: was done before")
        return
    reference = ReferenceData()
    gallery = GalleryIndex(reference.enrolled)
    asyncio.run(_load(settings, reference, gallery))
    with connect(settings, autocommit=True) as db:
        run_row = runs.get(db, settings.run)
        events = runs.events(db, settings.run)
        replay_pass = ReplayPass(settings, reference, gallery, events, stop.beat)
        replay_pass.read_live()
        if run_row.pack not in replay_pass.packs:
            add_templates(settings, db, run_row, gallery)
        if gallery_revisions(db, settings.run) - {reference.enrolled.revision}:
            runs.set_detail(db, settings.run, "who is enrolled has changed since")
    outs = [out for partition in ends for out in replay_pass.match(partition)]
    _send(settings, group, faces, ends, outs)
    log.info("match-run: %d records", len(outs))


async def _load(settings: Settings, reference: ReferenceData, gallery: GalleryIndex) -> None:
    """Load the reference data as a live matcher has it now."""
    kafka = aiokafka_config(settings)
    follower = ReferenceFollower(kafka, reference, gallery, lambda _affected: None)
    try:
        await follower.load()
    finally:
        await follower.close()


def _send(
    settings: Settings, group: str, faces: str, ends: Offsets, outs: Sequence[OutputRecord]
) -> None:
    """Write the outcome and commit the offsets that it was made of: both or neither.

    Raises:
        InfrastructureError: Kafka does not go on.
    """
    timeout = _TRANSACTION_TIMEOUT_SECONDS
    consumer = Consumer(consumer_config(settings, group, group), logger=LIBRDKAFKA)
    producer = CheckedProducer(
        producer_config(settings, group, transactional_id=group)
        | {"transaction.timeout.ms": round(1000 * timeout)}
    )
    raw = producer.raw
    try:
        raw.init_transactions(timeout)
        raw.begin_transaction()
        producer.send_all(outs)
        raw.send_offsets_to_transaction(
            [TopicPartition(faces, partition, end) for partition, end in ends.items()],
            consumer.consumer_group_metadata(),
            timeout,
        )
        raw.commit_transaction(timeout)
    except KafkaException as error:
        raise InfrastructureError(f"match-run: {error}") from error
    finally:
        consumer.close()

"""The job `match-run`: the faces of a run are matched, in one process and at once.

Live's faces of the sites are gone through once more by the same step, and where a motion event is
the run's, the run's faces take the place of live's: so strangers, their looks and the tracks of the
last minutes are at every moment as live had them. What that says of the run's tracks is the
outcome, in one transaction with the offsets that it was made of.
"""

import asyncio
import logging
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from processors.match.follow import Follower
from processors.match.known import Known
from processors.match.pass_again import Again
from processors.match.run_gallery import add_templates
from schemas.naming import match_group, of_run
from schemas.topics import FACES
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import start_service
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect
from sightline.storage.run_progress import gallery_revisions
from sightline.streaming import topic_reader
from sightline.streaming.client_config import aiokafka_config, consumer_config, producer_config
from sightline.streaming.producer import SureProducer
from sightline.streaming.records import Out
from sightline.streaming.topic_reader import Offsets

log = logging.getLogger(__name__)

_SECONDS = 60.0


def run(settings: Settings) -> None:
    """Match the faces of the run that the settings name; ends when that is done."""
    stop = start_service("match-run", settings)
    stop.health.ready()
    faces = of_run(FACES, settings.run).name
    ends = topic_reader.ends(settings, faces)
    group = match_group(settings.run)
    if topic_reader.committed(settings, group, faces, ends) == ends and any(ends.values()):
        log.info("match-run: was done before")
        return
    known = asyncio.run(_load(settings))
    with connect(settings, autocommit=True) as db:
        wanted = runs.get(db, settings.run)
        again = Again(settings, known, runs.events(db, settings.run), stop.beat)
        again.look_through_live()
        if wanted.pack not in again.packs:
            add_templates(settings, db, wanted, known)
        _compare_galleries(settings, db, known)
    outs = [out for number in ends for out in again.match(number)]
    _send(settings, group, faces, ends, outs)
    log.info("match-run: %d records", len(outs))


async def _load(settings: Settings) -> Known:
    """Who is enrolled and what else is known, as a live matcher has it now."""
    known = Known()
    follower = Follower(aiokafka_config(settings), known, lambda _touched: None)
    try:
        await follower.load()
    finally:
        await follower.close()
    return known


def _compare_galleries(settings: Settings, db: Connection, known: Known) -> None:
    if gallery_revisions(db, settings.run) - {known.gallery.revision}:
        runs.remark(db, settings.run, "who is enrolled has changed since")


def _send(settings: Settings, group: str, faces: str, ends: Offsets, outs: Sequence[Out]) -> None:
    """Write all that was said, and that it was said: both or neither.

    Raises InfrastructureError.
    """
    consumer = Consumer(consumer_config(settings, group, group), logger=LIBRDKAFKA)
    producer = SureProducer(
        producer_config(settings, group, transactional_id=group)
        | {"transaction.timeout.ms": round(1000 * _SECONDS)}
    )
    raw = producer.raw
    try:
        raw.init_transactions(_SECONDS)
        raw.begin_transaction()
        producer.send_all(outs)
        raw.send_offsets_to_transaction(
            [TopicPartition(faces, number, end) for number, end in ends.items()],
            consumer.consumer_group_metadata(),
            _SECONDS,
        )
        raw.commit_transaction(_SECONDS)
    except KafkaException as error:
        raise InfrastructureError(f"match-run: {error}") from error
    finally:
        consumer.close()

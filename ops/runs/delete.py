"""A run that nobody needs any more: its rows, topics, consumer groups and pictures."""

from collections.abc import Mapping, Set
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ops.runs import row_location
from ops.runs.tables import drop_schema
from schemas.naming import run_groups, run_topics
from sightline.people import identity_corrections
from sightline.runtime.errors import ConflictError, InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect
from sightline.storage.objects import ObjectStore, open_store, run_prefix
from sightline.storage.run_progress import SINKS
from sightline.storage.runs import Run
from sightline.streaming.client_config import client_config

_SECONDS = 30.0

_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)

_IDLE = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)

# Somebody unknown, seen near the run's window while it was the truth, may point to its pictures.
_POINTERS = """
WITH dropped AS (DELETE FROM public.snapshots WHERE starts_with(path, %(prefix)s))
UPDATE public.access_logs SET snapshot_path = NULL WHERE starts_with(snapshot_path, %(prefix)s)
"""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted with a run."""

    run: str
    topics: int
    groups: int
    objects: int


def delete(settings: Settings, name: str) -> Deleted:
    """Delete a run: what the contract names after it, and nothing else that is called alike.

    Killed amid it, it is done again.
    Raises NotFoundError, ConflictError for one that is promoted or at work, InfrastructureError.
    """
    with closing(connect(settings)) as db:
        runs.claim(db, name)
        run = runs.get(db, name)
        db.commit()
        return _delete(settings, db, run)


def _delete(settings: Settings, db: Connection, run: Run) -> Deleted:
    name = run.name
    admin = AdminClient(client_config(settings, "sightline-runs"), logger=LIBRDKAFKA)
    groups = _groups(admin, run_groups(name, run.fleets, SINKS), name)
    with db.transaction():
        _close(db, name)
    topics = _topics(admin, {topic.name for topic in run_topics(name, run.fleets)})
    _each(admin.delete_consumer_groups(groups) if groups else {})
    _each(admin.delete_topics(topics) if topics else {})
    objects = _delete_objects(open_store(settings), run_prefix(name))
    with db.transaction(), db.cursor() as cursor:
        identity_corrections.lock(cursor)
        cursor.execute(_POINTERS, {"prefix": run_prefix(name)})
        drop_schema(cursor, name)
        cursor.execute("DELETE FROM runs WHERE name = %s", (name,))
    return Deleted(name, len(topics), len(groups), objects)


def _close(db: Connection, name: str) -> None:
    """From here on nobody can promote the run."""
    with db.cursor() as cursor:
        identity_corrections.lock(cursor)
        runs.get(db, name)
        if row_location.promotion_of(cursor, name) is not None:
            raise ConflictError(
                f"run {name} is promoted: `sightline runs promote live --instead-of {name}` first"
            )
        cursor.execute("UPDATE runs SET stage = 'failed' WHERE name = %s", (name,))


def _groups(admin: AdminClient, names: Set[str], run: str) -> list[str]:
    """Return those of a run's consumer groups that exist; raise ConflictError if one is at work."""
    try:
        found = admin.list_consumer_groups(request_timeout=_SECONDS).result().valid
    except KafkaException as error:
        raise _no_kafka(error) from error
    groups = [one for one in found if one.group_id in names]
    if any(one.state not in _IDLE for one in groups):
        raise ConflictError(f"run {run} is at work: stop its replay, then try again")
    return [one.group_id for one in groups]


def _topics(admin: AdminClient, names: Set[str]) -> list[str]:
    try:
        found = admin.list_topics(timeout=_SECONDS).topics
    except KafkaException as error:
        raise _no_kafka(error) from error
    return [topic for topic in found if topic in names]


def _each(futures: Mapping[str, Future[None]]) -> None:
    for future in futures.values():
        try:
            future.result(_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _GONE:
                raise _no_kafka(error) from error


def _no_kafka(error: KafkaException) -> InfrastructureError:
    return InfrastructureError(f"Kafka: {error.args[0].str()}")


def _delete_objects(store: ObjectStore, prefix: str) -> int:
    keys = list(store.keys(prefix))
    for key in keys:
        store.delete(key)
    return len(keys)

"""Deletion of a run: its rows, topics, consumer groups and pictures."""

from collections.abc import Mapping, Set
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ops.runs import row_location
from ops.runs.tables import drop_schema
from schemas.naming import run_groups, run_prefix, run_topics
from sightline.people import identity_corrections
from sightline.runtime.errors import ConflictError
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect
from sightline.storage.objects import ObjectStore, open_store
from sightline.storage.run_progress import SINKS
from sightline.storage.runs import Run
from sightline.streaming.admin import admin_client
from sightline.streaming.errors import code_of, result_of, translate, translated

_REQUEST_TIMEOUT_SECONDS = 30.0

_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)

_IDLE_STATES = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)

# Rows of an unknown person seen near the window of the promoted run may point to its pictures.
_POINTERS = """
WITH dropped AS (DELETE FROM public.snapshots WHERE starts_with(path, %(prefix)s))
UPDATE public.access_logs SET snapshot_path = NULL WHERE starts_with(snapshot_path, %(prefix)s)
"""


@dataclass(frozen=True, slots=True)
class DeletionCounts:
    """Counts of what was deleted with a run."""

    run: str
    topics: int
    groups: int
    objects: int


def delete(settings: Settings, name: str) -> DeletionCounts:
    """Delete a run: exactly the topics, groups and objects that the contract names after it.

    After a crash the call can be repeated. Raises NotFoundError, InfrastructureError, and
    ConflictError for a run that is promoted or still running.
    """
    with closing(connect(settings)) as db:
        runs.lock_run(db, name)
        run = runs.get(db, name)
        db.commit()
        return _delete(settings, db, run)


def _delete(settings: Settings, db: Connection, run: Run) -> DeletionCounts:
    name = run.name
    admin = admin_client(settings, "runs")
    groups = _groups(admin, run_groups(name, run.fleets, SINKS), name)
    with db.transaction():
        _forbid_promotion(db, name)
    topics = _topics(admin, {topic.name for topic in run_topics(name, run.fleets)})
    _wait_all(admin.delete_consumer_groups(groups) if groups else {})
    _wait_all(admin.delete_topics(topics) if topics else {})
    objects = _delete_objects(open_store(settings), run_prefix(name))
    with db.transaction(), db.cursor() as cursor:
        identity_corrections.lock_exclusive(cursor)
        cursor.execute(_POINTERS, {"prefix": run_prefix(name)})
        drop_schema(cursor, name)
        cursor.execute("DELETE FROM runs WHERE name = %s", (name,))
    return DeletionCounts(name, len(topics), len(groups), objects)


def _forbid_promotion(db: Connection, name: str) -> None:
    """Mark the run as failed, so that nobody can promote it any more."""
    with db.cursor() as cursor:
        identity_corrections.lock_exclusive(cursor)
        runs.get(db, name)
        if row_location.promotion_of(cursor, name) is not None:
            raise ConflictError(f"run {name} is promoted: `sightline runs rollback {name}` first")
        cursor.execute("UPDATE runs SET stage = 'failed' WHERE name = %s", (name,))


def _groups(admin: AdminClient, names: Set[str], run: str) -> list[str]:
    """Return the run's consumer groups that exist; raise ConflictError if one is active."""
    listed = result_of(admin.list_consumer_groups(request_timeout=_REQUEST_TIMEOUT_SECONDS)).valid
    groups = [group for group in listed if group.group_id in names]
    if any(group.state not in _IDLE_STATES for group in groups):
        raise ConflictError(f"run {run} is at work: stop its replay, then try again")
    return [group.group_id for group in groups]


def _topics(admin: AdminClient, names: Set[str]) -> list[str]:
    with translated():
        existing = admin.list_topics(timeout=_REQUEST_TIMEOUT_SECONDS).topics
    return [topic for topic in existing if topic in names]


def _wait_all(futures: Mapping[str, Future[None]]) -> None:
    for future in futures.values():
        try:
            future.result(_REQUEST_TIMEOUT_SECONDS)
        except KafkaException as error:
            if code_of(error) not in _MISSING:
                raise translate(error) from error


def _delete_objects(store: ObjectStore, prefix: str) -> int:
    keys = list(store.keys(prefix))
    for key in keys:
        store.delete(key)
    return len(keys)

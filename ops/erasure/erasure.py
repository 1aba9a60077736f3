"""Steps of an erasure: rows, objects, topics, matchers, report.

Rows go first, in one transaction with the outbox records for topics and the suppression list for
sinks; from then on nobody can store the person again. The later steps are repeated after a crash.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from ops.erasure import (
    erasure_record,
    matcher_state,
    person_objects,
    report,
    row_deletion,
    subject,
    topic_search,
)
from ops.erasure.erasure_record import Erasure, Plan
from ops.erasure.id_scanner import IdScanner
from ops.erasure.subject import Subject
from schemas.topics import MAX_COMPACTION_LAG_MS
from sightline.audit import trail
from sightline.audit.keys import signing_key
from sightline.people import identity_corrections
from sightline.runtime.clock import Clock, SystemClock, to_datetime
from sightline.runtime.errors import SightlineError
from sightline.runtime.fault_injection import FaultPoint as Fault
from sightline.runtime.fault_injection import fault_point
from sightline.runtime.settings import Settings
from sightline.storage.db import Cursor, connect
from sightline.storage.fleets import list_fleets
from sightline.storage.objects import open_store
from sightline.storage.outbox import deliver
from sightline.streaming.topic_inspector import TopicInspector

_COMPACTED_WITHIN = timedelta(milliseconds=MAX_COMPACTION_LAG_MS)

_AUDIT_LINES = """
SELECT DISTINCT line FROM audit, unnest(%s::text[]) AS name
WHERE purpose IS NOT NULL AND strpos(lower(purpose), lower(name)) > 0
ORDER BY line
"""


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Request for an erasure."""

    person: str  # a name, a person id, or a global id
    made_by: str
    purpose: str | None = None


def erase(
    settings: Settings, request: ErasureRequest, clock: Clock | None = None
) -> dict[str, Any]:
    """Erase a person, or continue an interrupted erasure; return the signed report.

    Raises NotFoundError, ConflictError, and InfrastructureError if it has to be continued later.
    """
    clock = clock or SystemClock()
    with connect(settings) as db:
        unfinished = erasure_record.unfinished(db, request.person)
    erasure = unfinished[0] if unfinished else _begin(settings, request, clock)
    return _continue(settings, erasure, clock)


def resume(settings: Settings, clock: Clock | None = None) -> list[dict[str, Any]]:
    """Continue all interrupted erasures; return their reports."""
    with connect(settings) as db:
        unfinished = erasure_record.unfinished(db)
    return [_continue(settings, erasure, clock or SystemClock()) for erasure in unfinished]


def _begin(settings: Settings, request: ErasureRequest, clock: Clock) -> Erasure:
    """Delete the rows, and enqueue the tombstones and facts for the topics."""
    with connect(settings) as db, db.cursor() as cursor:
        names = subject.find(cursor, request.person).names
    # Listing the object store is slow, so it is done before the lock is taken.
    named_objects = person_objects.keys_with_names(open_store(settings), names)
    with connect(settings, autocommit=True) as db, db.transaction(), db.cursor() as cursor:
        identity_corrections.lock_exclusive(cursor)  # the first of all locks
        person = subject.find(cursor, request.person)
        _refuse_names(person, request.purpose)
        erasure = Erasure(
            erasure_id=uuid4(),
            global_ids=list(person.global_ids),
            employee_id=person.employee,
            made_by=request.made_by,
            purpose=request.purpose,
            started_at=to_datetime(clock.now_us()),
            plan=Plan((), (), (), (), {}, ()),
        )
        erasure_record.begin(cursor, erasure)
        deleted, keys = row_deletion.erase(cursor, person, erasure.erasure_id)
        objects = {*keys, *named_objects - person_objects.referenced(cursor, named_objects)}
        person_objects.mark_stale(cursor, objects)
        plan = Plan(
            names=person.names,
            tracks=person.tracks,
            uuids=sorted(person.uuids),
            objects=sorted(objects),
            rows={table: count for table, count in sorted(deleted.items()) if count},
            audit_lines=_named_in_trail(cursor, person),
        )
        erasure_record.set_plan(cursor, erasure.erasure_id, plan)
        trail.add_subject(erasure=erasure.erasure_id, stage="begun")
        trail.write_entry(cursor, *person.global_ids)
    fault_point(Fault.ROWS_ERASED)
    return replace(erasure, plan=plan)


def _continue(settings: Settings, erasure: Erasure, clock: Clock) -> dict[str, Any]:
    plan = erasure.plan
    person_objects.delete_objects(settings, plan.objects)
    fault_point(Fault.OBJECTS_ERASED)
    deliver(settings)
    scanner = IdScanner(plan.uuids, erasure.global_ids)
    markers = [row_deletion.erasure_fact(person)[0] for person in erasure.global_ids]
    matcher_state.delete_remnants(settings, scanner, markers)
    deleted = matcher_state.erase_person(settings, scanner, erasure.global_ids[0], plan.tracks)
    fault_point(Fault.MATCHERS_FORGOT)
    search = topic_search.search(settings, scanner, plan.tracks, list_fleets(settings))
    now = to_datetime(clock.now_us())
    inspected = TopicInspector(settings).partition_states(search.logs)
    content = {
        "version": report.VERSION,
        "erasure": str(erasure.erasure_id),
        "person": {
            "global_ids": erasure.global_ids,
            "person_id": str(erasure.employee_id) if erasure.employee_id else None,
        },
        "by": erasure.made_by,
        "purpose": erasure.purpose,
        "started_at": erasure.started_at.isoformat(),
        "done_at": now.isoformat(),
        "deleted": {
            "rows": dict(plan.rows),
            "objects": len(plan.objects),
            "matcher_entries": deleted,
        },
        "kept": {
            "topics": report.retained_records(search, inspected, markers, now, _COMPACTED_WITHIN),
            "audit_lines_with_the_name": list(plan.audit_lines),
        },
        "searched_to": [[*partition, end] for partition, end in sorted(search.ends.items())],
    }
    signed = report.signed(content, signing_key(settings))
    _finish(settings, erasure, signed, now)
    return signed


def _finish(settings: Settings, erasure: Erasure, signed: dict[str, Any], now: datetime) -> None:
    with connect(settings) as db, db.transaction(), db.cursor() as cursor:
        erasure_record.finish(cursor, erasure.erasure_id, signed, now)
        trail.add_subject(erasure=erasure.erasure_id, stage="done")
        trail.write_entry(cursor, *erasure.global_ids)


def _refuse_names(person: Subject, purpose: str | None) -> None:
    """Raise SightlineError if the purpose names the person: the trail is never changed."""
    text = (purpose or "").casefold()
    if any(name.casefold() in text for name in person.names):
        raise SightlineError("the purpose names the person, and it stays: say it without the name")


def _named_in_trail(cursor: Cursor, person: Subject) -> list[int]:
    return [row[0] for row in cursor.execute(_AUDIT_LINES, (list(person.names),))]

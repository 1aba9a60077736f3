"""Signed report of an erasure: what was deleted, and what only time removes."""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ops.erasure.topic_search import TopicMatches, TopicSearch
from sightline.audit.chain import SignatureVerifier
from sightline.audit.keys import SigningKey
from sightline.runtime.clock import to_datetime
from sightline.runtime.errors import SightlineError
from sightline.streaming.records import Partition
from sightline.streaming.topic_inspector import PartitionState

VERSION = 1

_BY_TIME = "the broker deletes records this long after their time, a segment at a time"
_BY_SIZE = "the broker deletes the oldest when the partition has grown by so many bytes"
_FOR_EVER = "the topic has no limit: `sightline topics apply` with a limit in the settings"
_REPLACED = "a later record of the same key has replaced it: gone with the topic's next compaction"
_TOMBSTONE = "says that the key is gone; goes itself a day after that compaction"
_MARKER = "an id alone: keeps records that are still under way from being taken up"
_STATE = "ids of tracks that a camera follows just now, no face: gone with its motion event"


def retained_records(
    search: TopicSearch,
    inspected: Mapping[Partition, PartitionState],
    markers: Iterable[str],
    now: datetime,
    compaction: timedelta,
) -> list[dict[str, Any]]:
    """Return the person's records that topics still hold, by partition, with their retention."""
    entries = [
        _retained_entry(partition, matches, inspected.get(partition))
        for partition, matches in sorted(search.logs.items())
    ]
    compacted_by = now + compaction
    entries += [
        _entry(partition, matches, _REPLACED, compacted_by)
        for partition, matches in sorted(search.replaced.items())
    ]
    entries += [
        _entry(partition, matches, _TOMBSTONE, compacted_by + timedelta(days=1))
        for partition, matches in sorted(search.tombstones.items())
    ]
    marked = {key.encode() for key in markers}
    live: dict[tuple[Partition, str], TopicMatches] = defaultdict(TopicMatches)
    for record in search.live:
        rule = _MARKER if record.key in marked else _STATE
        live[(record.topic, record.partition), rule].add(record.offset, record.timestamp_ms)
    entries += [
        _entry(partition, matches, rule, None)
        for (partition, rule), matches in sorted(live.items())
    ]
    return entries


def signed(report: Mapping[str, Any], key: SigningKey) -> dict[str, Any]:
    """Return the report with its signature."""
    signature = key.sign(_canonical_json(report))
    return {**report, "signature": {"key_id": key.key_id, "ed25519": _base64(signature)}}


def check(report: Mapping[str, Any], signatures: SignatureVerifier) -> None:
    """Raise SightlineError if a report is not as it was signed."""
    content = dict(report)
    try:
        signature = content.pop("signature")
        key_id, value = str(signature["key_id"]), base64.b64decode(signature["ed25519"])
    except (KeyError, TypeError, ValueError) as error:
        raise SightlineError("the report is not signed") from error
    if not signatures.verify(key_id, _canonical_json(content), value):
        raise SightlineError(
            "the report was changed, or another installation's key has signed it (its key"
            f" {key_id}; `audit.former_keys` takes those of before)"
        )


def ranges(offsets: Iterable[int]) -> list[list[int]]:
    """Return offsets as [first, last] ranges of consecutive numbers."""
    spans: list[list[int]] = []
    for offset in sorted(offsets):
        if spans and offset == spans[-1][1] + 1:
            spans[-1][1] = offset
        else:
            spans.append([offset, offset])
    return spans


def _retained_entry(
    partition: Partition, matches: TopicMatches, inspected: PartitionState | None
) -> dict[str, Any]:
    if inspected is not None and inspected.limit_ms > 0:
        until = to_datetime((matches.latest_ms + inspected.limit_ms) * 1000)
        entry = _entry(partition, matches, _BY_TIME, until)
    else:
        entry = _entry(partition, matches, _FOR_EVER, None)
    if inspected is not None and inspected.limit_bytes > 0:
        per_record = inspected.size / max(1, inspected.high - inspected.low)
        newer_bytes = round((inspected.high - max(matches.offsets) - 1) * per_record)
        entry["bytes_to_come"] = max(0, inspected.limit_bytes - newer_bytes)
        if inspected.limit_ms <= 0:
            entry["rule"] = _BY_SIZE
    return entry


def _entry(
    partition: Partition, matches: TopicMatches, rule: str, until: datetime | None
) -> dict[str, Any]:
    return {
        "topic": partition[0],
        "partition": partition[1],
        "records": len(matches.offsets),
        "offsets": ranges(matches.offsets),
        "rule": rule,
        "until": until.isoformat() if until is not None else None,
        "bytes_to_come": None,
    }


def _canonical_json(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

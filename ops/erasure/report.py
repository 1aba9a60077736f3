"""What an erasure has done and what only time will do, signed."""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ops.erasure.topics import Found, Search
from sightline.audit.chain import Signatures
from sightline.audit.keys import Signer
from sightline.runtime.clock import to_datetime
from sightline.runtime.errors import SightlineError
from sightline.streaming.sizes import Place
from sightline.streaming.topic_inspector import Held

VERSION = 1

_BY_TIME = "the broker deletes records this long after their time, a segment at a time"
_BY_SIZE = "the broker deletes the oldest when the partition has grown by so many bytes"
_FOR_EVER = "the topic has no limit: `sightline topics apply` with a limit in the settings"
_REPLACED = "a later record of the same key has replaced it: gone with the topic's next compaction"
_TOMBSTONE = "says that the key is gone; goes itself a day after that compaction"
_MARKER = "an id alone: keeps records that are still under way from being taken up"
_STATE = "ids of tracks that a camera follows just now, no face: gone with its motion event"


def kept(
    found: Search,
    held: Mapping[Place, Held],
    markers: Iterable[str],
    now: datetime,
    compaction: timedelta,
) -> list[dict[str, Any]]:
    """What is still in the topics, by partition, and what makes it go when."""
    told = [_log(place, one, held.get(place)) for place, one in sorted(found.logs.items())]
    by = now + compaction
    told += [_told(place, one, _REPLACED, by) for place, one in sorted(found.replaced.items())]
    told += [
        _told(place, one, _TOMBSTONE, by + timedelta(days=1))
        for place, one in sorted(found.tombstones.items())
    ]
    marked = {key.encode() for key in markers}
    alive: dict[tuple[Place, str], Found] = defaultdict(Found)
    for record in found.live:
        rule = _MARKER if record.key in marked else _STATE
        alive[(record.topic, record.partition), rule].add(record.offset, record.timestamp_ms)
    told += [_told(place, one, rule, None) for (place, rule), one in sorted(alive.items())]
    return told


def signed(report: Mapping[str, Any], key: Signer) -> dict[str, Any]:
    """The report with its signature."""
    signature = key.sign(_plain(report))
    return {**report, "signature": {"key_id": key.key_id, "ed25519": _base64(signature)}}


def check(report: Mapping[str, Any], signatures: Signatures) -> None:
    """Raise SightlineError where a report is not as it was signed."""
    said = dict(report)
    try:
        signature = said.pop("signature")
        key_id, value = str(signature["key_id"]), base64.b64decode(signature["ed25519"])
    except (KeyError, TypeError, ValueError) as error:
        raise SightlineError("the report is not signed") from error
    if not signatures.holds(key_id, _plain(said), value):
        raise SightlineError(
            "the report was changed, or another installation's key has signed it (its key"
            f" {key_id}; `audit.former_keys` takes those of before)"
        )


def ranges(offsets: Iterable[int]) -> list[list[int]]:
    """Offsets as [first, last], those that follow each other together."""
    spans: list[list[int]] = []
    for offset in sorted(offsets):
        if spans and offset == spans[-1][1] + 1:
            spans[-1][1] = offset
        else:
            spans.append([offset, offset])
    return spans


def _log(place: Place, found: Found, held: Held | None) -> dict[str, Any]:
    if held is not None and held.limit_ms > 0:
        until = to_datetime((found.latest_ms + held.limit_ms) * 1000)
        told = _told(place, found, _BY_TIME, until)
    else:
        told = _told(place, found, _FOR_EVER, None)
    if held is not None and held.limit_bytes > 0:
        per_record = held.size / max(1, held.high - held.low)
        behind = round((held.high - max(found.offsets) - 1) * per_record)
        told["bytes_to_come"] = max(0, held.limit_bytes - behind)
        if held.limit_ms <= 0:
            told["rule"] = _BY_SIZE
    return told


def _told(place: Place, found: Found, rule: str, until: datetime | None) -> dict[str, Any]:
    return {
        "topic": place[0],
        "partition": place[1],
        "records": len(found.offsets),
        "offsets": ranges(found.offsets),
        "rule": rule,
        "until": until.isoformat() if until is not None else None,
        "bytes_to_come": None,
    }


def _plain(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""Names that are protocol, built and parsed here alone.

Whatever one process writes and another one reads back by its name is in this module: names of
runs, consumer groups and transactional ids, record keys, object keys, encryption contexts, schemas
of PostgreSQL and advisory locks. Names of topics are in `schemas.topics`.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple
from uuid import UUID

from schemas.topics import LIVE, RUN_TOPICS, Topic, vision_state

# Runs. Topics and groups of a run are called as the live ones, with a suffix.

RUN_SUFFIX = ".run-"
"""Between the live name of a topic or consumer group and the name of the run that has its own."""


def in_run(name: str, run: str) -> str:
    """Return the name that a topic or consumer group has in a run, from its live name."""
    return name if run == LIVE else f"{name}{RUN_SUFFIX}{run}"


def of_run(topic: Topic, run: str) -> Topic:
    """Return the topic that a run has in place of a live topic: the live run has the same."""
    return (
        topic
        if run == LIVE
        else replace(topic, name=in_run(topic.name, run), is_irreplaceable=False)
    )


def is_of_run(name: str) -> bool:
    """Tell whether a topic or consumer group belongs to a run other than the live one."""
    return RUN_SUFFIX in name


def live_name(name: str) -> str:
    """Return the name that a topic or consumer group of a run has in the live run."""
    return name.partition(RUN_SUFFIX)[0]


def topic_kind(name: str) -> str:
    """Return a topic's name without fleet and run: `frames` of `frames.hall`."""
    return name.partition(".")[0]


def fleet_of(name: str) -> str:
    """Return the fleet of a topic that each fleet has its own of: `hall` of `frames.hall`."""
    return live_name(name).partition(".")[2]


def run_topics(run: str, fleets: Iterable[str]) -> list[Topic]:
    """Return the topics that belong to a run over the frames of these fleets.

    Raises ValueError for the live run, whose topics belong to the installation.
    """
    _check_run(run)
    own = [*RUN_TOPICS, *(vision_state(fleet) for fleet in fleets)]
    return [of_run(topic, run) for topic in own]


def run_groups(run: str, fleets: Iterable[str], sinks: Iterable[str]) -> frozenset[str]:
    """Return the consumer groups that work on a run over the frames of these fleets.

    Raises ValueError for the live run, whose groups belong to the installation.
    """
    _check_run(run)
    vision = (vision_group(fleet, run) for fleet in fleets)
    return frozenset({*vision, match_group(run), *(sink_group(sink, run) for sink in sinks)})


def checked_fleet(fleet: str) -> str:
    """Return the name of a fleet.

    Raises ValueError for a fleet whose topics would read as those of a run.
    """
    if is_of_run(f".{fleet}"):  # as it stands in `frames.<fleet>`
        raise ValueError(
            f"{fleet[:64]!r} reads as the name of a run: choose one that neither begins with"
            f" {RUN_SUFFIX[1:]!r} nor has {RUN_SUFFIX!r} in it"
        )
    return fleet


def _check_run(run: str) -> None:
    if run == LIVE:
        raise ValueError("what is live belongs to no run")


# Kafka: principals, client ids, consumer groups, transactional ids.

_OURS = "sightline-"


def principal(service: str) -> str:
    """Return the name of a service in Kafka's ACLs, among PostgreSQL's roles and certificates."""
    return f"{_OURS}{service}"


def client_id(program: str) -> str:
    """Return the client id, and group where one is needed, of a program that shares no work."""
    return f"{_OURS}{program}"


def is_our_group(group: str) -> bool:
    """Tell whether a consumer group is one of Sightline's."""
    return group.startswith(_OURS)


def vision_group(fleet: str, run: str) -> str:
    """Return the consumer group of a fleet's vision workers in a run."""
    return in_run(f"{_OURS}vision-{fleet}", run)


def crops_group() -> str:
    """Return the consumer group of the vision workers that embed crops; a run has none."""
    return client_id("crops")


def match_group(run: str) -> str:
    """Return the consumer group of the matchers in a run; a replay's transactional id too."""
    return in_run(f"{_OURS}match", run)


def sink_group(sink: str, run: str) -> str:
    """Return the consumer group of a sink in a run."""
    return in_run(f"{_OURS}{sink}", run)


def camera_group(camera_id: str) -> str:
    """Return the consumer group, and transactional id, of the process that reads a camera."""
    return f"{_OURS}camera-{camera_id}"


def member_id(group: str, instance: str) -> str:
    """Return the static member id, and transactional id, of a worker of a consumer group."""
    return f"{group}-{instance}"


# Record keys of the topic `facts`.


class FactKind(StrEnum):
    """Kinds of keys of the topic `facts`."""

    CALIBRATION = "calibration"
    WALKING_TIME = "walking"
    TRACK = "track"
    PERSON = "person"


class FactKey(NamedTuple):
    """A parsed key of the topic `facts`."""

    kind: str
    """A `FactKind`; any other word in an invalid key."""

    subject: str
    """A model pack, a camera id, a track id or a global id."""

    other: str = ""
    """The other camera of a walking time."""


def calibration_fact_key(pack: str) -> str:
    """Return the key of the calibration in force for a model pack."""
    return f"{FactKind.CALIBRATION}|{pack}"


def walking_fact_key(camera: str, other: str) -> str:
    """Return the key of the walking time between two cameras, in either order."""
    first, second = sorted((camera, other))
    return f"{FactKind.WALKING_TIME}|{first}|{second}"


def track_fact_key(track_id: UUID | str) -> str:
    """Return the key of the corrections of a track."""
    return f"{FactKind.TRACK}|{track_id}"


def person_fact_key(global_id: int) -> str:
    """Return the key of the corrections of a person."""
    return f"{FactKind.PERSON}|{global_id}"


def parse_fact_key(key: str) -> FactKey:
    """Parse a key of the topic `facts`; a key of no known kind is returned as it stands."""
    kind, _, subject = key.partition("|")
    if kind != FactKind.WALKING_TIME:
        return FactKey(kind, subject)
    camera, _, other = subject.partition("|")
    return FactKey(kind, camera, other)


# Record keys of the matchers' changelog.

_TRACK_STATE = b"t|"
_PERSON_STATE = b"p|"
_FIXTURES_STATE = b"f|"


class StateKey(NamedTuple):
    """A parsed key of the matchers' changelog: of a track, a global id in digits, or a camera."""

    site_id: str
    subject: str


def crop_track_key(camera_id: str, track_number: int) -> str:
    """Return the key of a track's records on the topic `crop-state`."""
    return f"{camera_id}|{track_number}"


def track_state_key(site_id: str, track_id: str) -> bytes:
    """Return the changelog's key of a track."""
    return _TRACK_STATE + f"{site_id}|{track_id}".encode()


def person_state_key(site_id: str, global_id: int) -> bytes:
    """Return the changelog's key of an unknown person."""
    return _PERSON_STATE + f"{site_id}|{global_id}".encode()


def fixtures_state_key(site_id: str, camera_id: str) -> bytes:
    """Return the changelog's key of a camera's fixtures."""
    return _FIXTURES_STATE + f"{site_id}|{camera_id}".encode()


def is_fixtures_state(key: bytes) -> bool:
    """Tell whether an entry of the changelog is a camera's fixtures."""
    return key.startswith(_FIXTURES_STATE)


def is_track_state(key: bytes) -> bool:
    """Tell whether an entry of the changelog is a track's."""
    return key.startswith(_TRACK_STATE)


def is_person_state(key: bytes) -> bool:
    """Tell whether an entry of the changelog is an unknown person's."""
    return key.startswith(_PERSON_STATE)


def parse_state_key(key: bytes) -> StateKey:
    """Parse a key of the changelog; the parts that a malformed key lacks are empty."""
    _, _, entry = key.decode(errors="replace").partition("|")
    site_id, _, subject = entry.rpartition("|")
    return StateKey(site_id, subject)


# Keys of the object store.

RUNS_PREFIX = "runs/"
"""Begins the keys of all runs but the live one."""

PHOTOS_PREFIX = "enrollment_photos/"
_NAMED_SNAPSHOTS = "known/"
_UNNAMED_SNAPSHOTS = "unknown/"

_SNAPSHOT = re.compile(r"(?:runs/[^/]+/)?known/(?P<person>[^/]+?)_\d{4}-\d\d-\d\d_[^/]*\.jpg")
_PHOTO = re.compile(r"enrollment_photos/(?P<person>[^/]+?)(?:-\d{1,9})?\.jpg")

_MAX_PERSON_BYTES = 120
"""Leaves room within the 255 bytes of a file name for a time and an extension."""

_HASH_DIGITS = 10
"""More than the number of a photo has, so that the two are told apart."""


def run_prefix(run: str) -> str:
    """Return the prefix of the keys of a run's snapshots."""
    return "" if run == LIVE else f"{RUNS_PREFIX}{run}/"


def snapshot_key(prefix: str, name: str | None, decided_at: datetime, sighting_id: str) -> str:
    """Return the key of a sighting's snapshot; `name` is the person's, None of an unknown person.

    Two sightings never share a key, not even at the same instant.
    """
    at = decided_at
    time = f"{at:%H-%M-%S}.{at.microsecond // 1000:03d}_{sighting_id[:8]}"
    if name is None:
        return f"{prefix}{_UNNAMED_SNAPSHOTS}{at:%Y-%m-%d}/{time}.jpg"
    return f"{prefix}{_NAMED_SNAPSHOTS}{safe_name(name)}_{at:%Y-%m-%d}_{time}.jpg"


def photo_keys(name: str) -> Iterator[str]:
    """Yield the keys that an employee's photos may have: NAME.jpg, NAME-2.jpg, ... without end."""
    stem = f"{PHOTOS_PREFIX}{safe_name(name)}"
    yield f"{stem}.jpg"
    number = 2
    while True:
        yield f"{stem}-{number}.jpg"
        number += 1


def person_prefixes(name: str) -> list[str]:
    """Return the prefixes of a person's keys, those of runs left out; others' may begin so too."""
    person = safe_name(name)
    return [f"{_NAMED_SNAPSHOTS}{person}_", f"{PHOTOS_PREFIX}{person}"]


def parse_person(key: str) -> str | None:
    """Return the part of a key that names its person, as `safe_name` builds it.

    None for the key of anything else, such as the snapshot of an unknown person.
    """
    match = _SNAPSHOT.fullmatch(key) or _PHOTO.fullmatch(key)
    return match["person"] if match else None


def trial_key(unique: UUID) -> str:
    """Return the key of an object that is written and deleted to try the store."""
    return f"config-check-{unique}"


def safe_name(name: str) -> str:
    """Return a person's name as part of a key; different names give different parts.

    Letters of all scripts and digits stay, everything else becomes "_". Where more than
    spaces was replaced, or the name was cut, "-" and a hash of the name follow: "-" stands
    nowhere else, so that no name can look like another's.
    """
    composed = unicodedata.normalize("NFC", name)
    plain = "".join(char if _is_letter_or_digit(char) else "_" for char in composed)
    cut = plain.encode()[:_MAX_PERSON_BYTES].decode(errors="ignore")
    if cut and cut.replace("_", " ") == name:
        return cut
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{cut}-{digest}"


def _is_letter_or_digit(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LM" or category == "Nd"  # many scripts write vowels as marks (M)


# Encryption contexts: authenticated with what is encrypted, so that it opens nowhere else.


def object_context(key: str) -> str:
    """Return the encryption context of an object."""
    return f"objects/{key}"


def outbox_context(topic: str, key: str) -> str:
    """Return the encryption context of a record in the outbox."""
    return f"outbox/{topic}/{key}"


def template_context(template: UUID | str) -> str:
    """Return the encryption context of an enrolled person's template."""
    return f"face_templates/{template}/embedding"


def track_context(track_id: UUID | str) -> str:
    """Return the encryption context of a track's template; a person's is one of their tracks'."""
    return f"person_tracks/{track_id}/embedding"


def pending_snapshot_context(sighting_id: UUID | str) -> str:
    """Return the encryption context of a snapshot whose person is not decided yet."""
    return f"pending_snapshots/{sighting_id}/jpeg"


def context_kind(context: str) -> str:
    """Return the first part of an encryption context: a table, `objects` or `outbox`."""
    return context.partition("/")[0]


def context_row(context: str) -> str:
    """Return the id of the row that an encryption context of a table names."""
    return context.split("/")[1]


# PostgreSQL: schemas of rows, and advisory locks.

_RUN_SCHEMA = "run_"
_REPLACED_SCHEMA = "replaced_"

LIVE_SCHEMA = "public"

ROW_SCHEMA_PATTERNS = (LIVE_SCHEMA, rf"{_RUN_SCHEMA[:-1]}\_%", rf"{_REPLACED_SCHEMA[:-1]}\_%")
"""Patterns of LIKE: the schemas that hold rows, those of runs and promotions among them."""


def run_schema(run: str) -> str:
    """Return the schema that holds a run's rows, in tables called as the live ones are."""
    return LIVE_SCHEMA if run == LIVE else f"{_RUN_SCHEMA}{run}"


def replaced_schema(promotion: int) -> str:
    """Return the schema that holds the rows which a promotion has replaced."""
    return f"{_REPLACED_SCHEMA}{promotion}"


class AdvisoryLock(IntEnum):
    """Numbers of the advisory locks of which an installation has one each."""

    OUTBOX = 0x516874_0B0C
    """Held by the relay that delivers the outbox."""
    DEAD_LETTERS = 0x516874_0D1C
    """Held while dead letters are replayed or dropped."""
    AUDIT_TRAIL = 0x516874_A0D1
    """Held while an entry is appended; the last of all locks of a transaction."""
    CORRECTIONS = 0x516874_C0DE
    """Shared by writers of decisions, exclusive for corrections; the first of all locks."""
    ENROLMENT = 0x516874_E401
    """Held while a face is looked up among the enrolled ones and added."""
    GRANTS = 0x516874_66A7
    """Held while rights of roles are granted."""
    VECTOR_INDEXES = 0x516874_1DE5
    """Held while indexes over embeddings are created."""
    PERSON_STATE = 0x516874_57A7
    """Held by the worker that computes the rows of persons."""


class LockKind(StrEnum):
    """Kinds of advisory locks of which there is one for each name."""

    CALIBRATION = "calibration"
    """By model pack: which calibration is in force."""
    RUN = "run"
    """By run: held by the process that works on it."""
    SNAPSHOT_PATH = "snapshot-path"
    """By sighting id: its access row or its snapshot is being written."""


def lock_number(kind: str, name: str) -> int:
    """Return the number of the advisory lock of a kind and name: a signed integer of 64 bits."""
    digest = hashlib.blake2b(f"{kind}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

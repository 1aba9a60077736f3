"""Groups of settings that the library needs; a service declares its own beside itself."""

from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from schemas import topics
from schemas.topics import DAY_MS, Topic


class Group(BaseModel):
    """Base of all groups: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EvidenceSettings(Group):
    """Choice of the observations of faces that count, of a track as of a photo."""

    min_face_px: float = Field(
        24.0, gt=0, description="least shorter side of a face in pixels; smaller ones are misnamed"
    )
    min_quality: float = Field(
        0.25, ge=0, le=1, description="least quality of an observation that is embedded"
    )
    observations: int = Field(5, ge=1, description="good observations that settle a track")
    interval_seconds: float = Field(
        0.3, ge=0, description="seconds between two observations of a track, so that they differ"
    )
    reverify_seconds: float = Field(
        300.0, gt=0, description="seconds for which a settled track is not embedded again"
    )
    verify_seconds: float = Field(
        3.0,
        gt=0,
        description="seconds after which a face of a settled track is compared with its earlier"
        " ones: somebody else's splits the track",
    )
    lost_seconds: float = Field(
        2.0, gt=0, description="seconds without a detection after which a track ends"
    )
    confirm_detections: int = Field(
        3, ge=1, description="detections from which on a track is a person and gets a row"
    )
    confirm_seconds: float = Field(
        0.3, ge=0, description="seconds from its first detection to its last that it needs as well"
    )
    confirm_score: float = Field(
        0.35, ge=0, le=1, description="mean score of its detections that it needs as well"
    )


class HealthSettings(Group):
    """Liveness of services and their periodic log line."""

    stuck_seconds: float = Field(
        60.0, gt=0, description="seconds without a beat after which a loop is stuck: /healthz"
    )
    start_seconds: float = Field(
        300.0, gt=0, description="seconds that a service may take until its first beat"
    )
    heartbeat_seconds: float = Field(
        300.0,
        ge=0,
        description="seconds between log lines with the increases of counters; 0 is never",
    )


class DisplaySettings(Group):
    """Form in which people read and type."""

    timezone: str | None = Field(
        None,
        description="IANA zone, such as Europe/Berlin, of the times that are printed, and of those"
        " that are typed without an offset, at the command line and in requests; else that of the"
        " machine, which is UTC in containers",
    )

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str | None) -> str | None:
        try:
            return name and ZoneInfo(name).key
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError(
                f"{name!r:.60} is no time zone of this machine, such as Europe/Berlin"
            ) from None


class KafkaSettings(Group):
    """Security of connections to Kafka; the embedded one needs no setting."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="protocol: SSL is TLS, SASL uses a user and a password"
    )
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password")
    ssl_ca: Path | None = Field(
        None,
        description="PEM file of the authority of the brokers' certificates; else the system's",
    )
    ssl_cert: Path | None = Field(None, description="PEM file of the client's certificate")
    ssl_key: Path | None = Field(None, description="PEM file of its key")


class TracingSettings(Group):
    """Traces from capture to row, by OpenTelemetry."""

    endpoint: str | None = Field(
        None, description="OTLP collector over HTTP, such as http://127.0.0.1:4318; else no traces"
    )
    sample_ratio: float = Field(0.01, ge=0, le=1, description="ratio of frames that are traced")


class MatchSettings(Group):
    """Identity decisions."""

    unknown_person_observations: int = Field(
        3, ge=2, description="agreeing observations that make a new unknown person"
    )
    target_fpir: float = Field(
        1e-3,
        gt=0,
        lt=0.5,
        description="target FPIR: the share of unknown people's tracks that get a false name;"
        " thresholds follow from it",
    )
    unknown_person_ttl_days: float = Field(
        7.0,
        gt=0,
        description="days after which an unknown, unnamed person that was not seen is forgotten",
    )
    inactive_seconds: float = Field(
        30.0, gt=0, description="seconds after which a person that was not seen is inactive"
    )


def _bytes_of(topic: Topic) -> Any:
    return Field(
        topic.retention_bytes,
        ge=0,
        description=f"bytes that a partition of {topic.kind} retains; 0 is no limit",
    )


def _days_of(topic: Topic) -> Any:
    return Field(
        max(0, topic.retention_ms) / DAY_MS,
        ge=0,
        description=f"days that records of {topic.kind} are retained, from their capture time on;"
        " 0 is no limit",
    )


class RetentionSettings(Group):
    """Retention of topics and time to live of rows and objects.

    Days of a topic count from the capture time: with them the broker deletes an old film while
    it is read. Days of a table count from the time at which a row was written.
    """

    frames_bytes: int = _bytes_of(topics.frames())
    frames_days: float = _days_of(topics.frames())
    motion_events_bytes: int = _bytes_of(topics.MOTION_EVENTS)
    motion_events_days: float = _days_of(topics.MOTION_EVENTS)
    tracks_bytes: int = _bytes_of(topics.TRACKS)
    tracks_days: float = _days_of(topics.TRACKS)
    faces_bytes: int = _bytes_of(topics.FACES)
    faces_days: float = _days_of(topics.FACES)
    snapshots_bytes: int = _bytes_of(topics.SNAPSHOTS)
    snapshots_days: float = _days_of(topics.SNAPSHOTS)
    crops_bytes: int = _bytes_of(topics.CROPS)
    crops_days: float = _days_of(topics.CROPS)
    crop_outcomes_bytes: int = _bytes_of(topics.CROP_OUTCOMES)
    crop_outcomes_days: float = _days_of(topics.CROP_OUTCOMES)
    sightings_bytes: int = _bytes_of(topics.SIGHTINGS)
    sightings_days: float = _days_of(topics.SIGHTINGS)
    dead_letters_bytes: int = _bytes_of(topics.DEAD_LETTERS)
    dead_letters_days: float = _days_of(topics.DEAD_LETTERS)

    access_log_days: float = Field(
        365.0, ge=0, description="days that rows of access_logs live; 0 is for ever"
    )
    visitor_log_days: float = Field(
        365.0,
        ge=0,
        description="days that rows of visitor_logs and their motion events live; 0 is for ever",
    )
    person_track_days: float = Field(
        365.0,
        ge=0,
        description="days that rows of person_tracks live, the source of detected_persons; 0 is for"
        " ever",
    )
    picture_days: float = Field(
        90.0, ge=0, description="days that snapshots live in the object store; 0 is for ever"
    )

    warn_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="ratio of a topic's retained records that a group has yet to read from which on"
        " it warns",
    )
    watch_seconds: float = Field(30.0, gt=0, description="seconds between checks of that ratio")
    expire_seconds: float = Field(3600.0, gt=0, description="seconds between deletions of rows")


class SecretsSettings(Group):
    """Caching of secrets kept in AWS: `secretsmanager:NAME`, `ssm:NAME`."""

    refresh_seconds: float = Field(
        300.0,
        ge=0,
        description="seconds after which a secret is fetched again, if it is not refused before",
    )


class EncryptionSettings(Group):
    """Encryption at rest of pictures and templates."""

    keys: SecretStr | None = Field(
        None,
        description="keys of 32 bytes in base64, separated by commas: the first key encrypts, all"
        " decrypt; `sightline encryption new-key` makes one",
    )
    required: bool = Field(
        False, description="refuse to work without keys, and to read unencrypted data"
    )


class AuditSettings(Group):
    """The audit trail of accesses to people's data."""

    purpose_required: bool = Field(
        False, description="refuse accesses without a purpose: `--purpose`, `X-Purpose`"
    )
    signing_key: SecretStr | None = Field(
        None,
        description="Ed25519 key in PEM that signs the trail, the same for all processes; else a"
        " key of the home",
    )
    former_keys: tuple[str, ...] = Field(
        (), description="public keys that signed before, as `sightline audit key` prints them"
    )

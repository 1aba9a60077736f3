"""The groups of settings that the library needs; a service declares its own beside itself."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from schemas.topics import (
    DAY_MS,
    DEAD_LETTERS,
    FACES,
    MOTION_EVENTS,
    SIGHTINGS,
    SNAPSHOTS,
    TRACKS,
    Topic,
    frames,
)


class Group(BaseModel):
    """What all groups are: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EvidenceSettings(Group):
    """Which observations of faces count, of a track as of a photo."""

    min_face_px: float = Field(
        24.0, gt=0, description="shorter side of a face; smaller ones name wrong people"
    )
    min_quality: float = Field(0.25, ge=0, le=1, description="of an observation worth an embedding")
    observations: int = Field(5, ge=1, description="good observations that settle a track")
    interval_seconds: float = Field(
        0.3, ge=0, description="between two observations of a track, so that they differ"
    )
    reverify_seconds: float = Field(
        300.0, gt=0, description="a settled track is not observed again for so long"
    )
    lost_seconds: float = Field(2.0, gt=0, description="a track unseen for so long is over")


class HealthSettings(Group):
    """What a service says of itself."""

    stuck_seconds: float = Field(
        60.0, gt=0, description="a loop that has not come round for so long is stuck: /healthz"
    )
    start_seconds: float = Field(
        300.0, gt=0, description="the same before it has come round for the first time"
    )
    heartbeat_seconds: float = Field(
        300.0, ge=0, description="how often a line sums up what was counted; 0 is never"
    )


class KafkaSettings(Group):
    """How Kafka is spoken to; nothing of it is needed for the embedded one."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="SSL is TLS; with SASL there is a user and a password"
    )
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="how the password is proved"
    )
    sasl_username: str | None = Field(None, description="the user")
    sasl_password: SecretStr | None = Field(None, description="the user's password")
    ssl_ca: Path | None = Field(
        None, description="who signs the brokers' certificates, PEM; else whom the system believes"
    )
    ssl_cert: Path | None = Field(None, description="our own certificate, PEM")
    ssl_key: Path | None = Field(None, description="its key, PEM")


class TracingSettings(Group):
    """Traces from capture to row, by OpenTelemetry."""

    endpoint: str | None = Field(
        None,
        description="an OTLP collector over HTTP, such as http://127.0.0.1:4318; none: no traces",
    )
    share: float = Field(0.01, ge=0, le=1, description="of frames that are traced")


class MatchSettings(Group):
    """How evidence becomes a decision."""

    newcomer_shots: int = Field(3, ge=2, description="shots that agree, for a new person")
    wanted_false_name_rate: float = Field(
        1e-3,
        gt=0,
        lt=0.5,
        description="of strangers' tracks, for one decision; thresholds follow from it",
    )
    forget_days: float = Field(
        7.0, gt=0, description="unknown, unnamed people not seen for this long are forgotten"
    )


def _bytes_of(topic: Topic) -> Any:
    return Field(
        topic.retention_bytes,
        ge=0,
        description=f"of one partition of {topic.kind}; 0 is no limit",
    )


def _days_of(topic: Topic) -> Any:
    return Field(
        max(0, topic.retention_ms) / DAY_MS,
        ge=0,
        description=f"how long records of {topic.kind} are kept, from their capture time on; 0 is"
        " no limit",
    )


class RetentionSettings(Group):
    """How long topics and tables keep what they have.

    Days of a topic count from the capture time: with them the broker deletes an old film while
    it is read. Days of a table count from when a row was written.
    """

    frames_bytes: int = _bytes_of(frames())
    frames_days: float = _days_of(frames())
    motion_events_bytes: int = _bytes_of(MOTION_EVENTS)
    motion_events_days: float = _days_of(MOTION_EVENTS)
    tracks_bytes: int = _bytes_of(TRACKS)
    tracks_days: float = _days_of(TRACKS)
    faces_bytes: int = _bytes_of(FACES)
    faces_days: float = _days_of(FACES)
    snapshots_bytes: int = _bytes_of(SNAPSHOTS)
    snapshots_days: float = _days_of(SNAPSHOTS)
    sightings_bytes: int = _bytes_of(SIGHTINGS)
    sightings_days: float = _days_of(SIGHTINGS)
    dead_letters_bytes: int = _bytes_of(DEAD_LETTERS)
    dead_letters_days: float = _days_of(DEAD_LETTERS)

    access_log_days: float = Field(365.0, ge=0, description="of rows in access_logs; 0 is for ever")
    visitor_log_days: float = Field(
        365.0, ge=0, description="of rows in visitor_logs and their motion events; 0 is for ever"
    )
    person_track_days: float = Field(
        365.0,
        ge=0,
        description="of rows in person_tracks, which detected_persons sums up; 0 is for ever",
    )
    picture_days: float = Field(
        90.0, ge=0, description="of snapshots in the object store; 0 is for ever"
    )

    warn_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="warns when a group has yet to read so much of what a topic keeps",
    )
    watch_seconds: float = Field(30.0, gt=0, description="how often that is looked at")
    expire_seconds: float = Field(3600.0, gt=0, description="how often rows are deleted")


class SecretsSettings(Group):
    """How secrets are kept that AWS has: `secretsmanager:NAME`, `ssm:NAME`."""

    refresh_seconds: float = Field(
        300.0, ge=0, description="a secret is fetched again when it is so old, or was refused"
    )


class EncryptionSettings(Group):
    """How pictures and faces are kept: sealed, where there are keys."""

    keys: SecretStr | None = Field(
        None,
        description="keys of 32 bytes in base64, with commas between: the first one seals, the"
        " others open what they have sealed; `sightline encryption new-key` makes one",
    )
    required: bool = Field(
        False,
        description="refuse to work without keys, and to read what is not sealed",
    )


class AuditSettings(Group):
    """How it is kept who read or changed whose data."""

    purpose_required: bool = Field(
        False, description="refuse whoever does not say what for: `--purpose`, `X-Purpose`"
    )
    signing_key: SecretStr | None = Field(
        None,
        description="an Ed25519 key in PEM that signs the trail, the same for all processes; else"
        " one is made in the home",
    )
    former_keys: tuple[str, ...] = Field(
        (), description="public keys of before, as `sightline audit key` prints them"
    )

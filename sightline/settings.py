"""One settings model for every service: environment, then `config.yaml` of the home."""

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from schemas.topics import (
    DAY_MS,
    DEAD_LETTERS,
    FACES,
    LIVE,
    MOTION_EVENTS,
    SIGHTINGS,
    SNAPSHOTS,
    TRACKS,
    Topic,
    frames,
)
from sightline.errors import SightlineError

RUN_NAME = r"^[a-z0-9][a-z0-9_]{0,39}$"
"""What a run may be called: it names topics, consumer groups and a schema of the database."""

_PREFIX = "SIGHTLINE_"

Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]


def default_home() -> Path:
    """Where an installation lives: `$SIGHTLINE_HOME`, else the user's data folder."""
    given = os.environ.get("SIGHTLINE_HOME")
    return Path(given).expanduser().resolve() if given else platformdirs.user_data_path("sightline")


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VisionSettings(_Group):
    """How frames become tracks and shots."""

    batch_frames: int = Field(32, ge=1, le=1024, description="frames in one transaction at most")
    batch_seconds: float = Field(0.05, gt=0, description="how long a transaction waits to fill up")
    behind_seconds: float = Field(
        2.0,
        ge=0,
        description="a live camera's frames are skipped, evenly, once they are so old; 0 is never",
    )
    caught_up_seconds: float = Field(0.5, ge=0, description="and no more once they are only so old")
    detections_per_second: float = Field(
        15.0,
        gt=0,
        description="how often people are looked for; frames between keep the last boxes",
    )
    face_detections_per_second: float = Field(
        5.0, gt=0, description="the same for a pack that finds faces alone, which cost more"
    )
    lost_seconds: float = Field(2.0, gt=0, description="a track unseen for this long is over")
    settled_seconds: float = Field(
        300.0, gt=0, description="a settled track is left alone for this long"
    )
    shots: int = Field(5, ge=1, description="good shots that settle a track")
    shot_interval_seconds: float = Field(
        0.3, ge=0, description="between two shots, so that they differ"
    )
    min_face_px: float = Field(
        24.0, gt=0, description="shorter side of a face; smaller ones name wrong people"
    )
    min_quality: float = Field(0.25, ge=0, le=1, description="of a shot worth an embedding")


class CaptureSettings(_Group):
    """How cameras are read."""

    buffer_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=0,
        description="of each camera's frames on disk while Kafka is away; then the oldest go",
    )


class MatchSettings(_Group):
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


class SinkSettings(_Group):
    """How rows are written."""

    batch_records: int = Field(500, ge=1, description="records in one transaction at most")
    batch_seconds: float = Field(0.2, gt=0, description="how long a transaction waits to fill up")
    person_state_seconds: float = Field(
        5.0, gt=0, description="how often a person's row changes at most"
    )
    inactive_seconds: float = Field(
        30.0, gt=0, description="a person unseen for this long is inactive"
    )
    unknown_snapshot_seconds: float = Field(
        30.0, gt=0, description="between two snapshots of one unknown person"
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


class RetentionSettings(_Group):
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


class ApiSettings(_Group):
    """How the API is served."""

    host: str = Field("127.0.0.1", description="where the API listens")
    port: int = Field(8080, ge=0, le=65535, description="0 is any free port, said in the log")
    max_photo_bytes: int = Field(
        16 * 1024 * 1024, ge=1024, description="of one photo; a larger one is refused"
    )
    decision_seconds: float = Field(
        5.0, gt=0, description="how long a request waits for the matching stream"
    )


class Settings(BaseSettings):
    """Settings of an installation; frozen, and an unknown key is an error."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # as compose files give what is not set
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    home: Path = Field(default_factory=default_home, description="where everything is kept")

    kafka_bootstrap_servers: str | None = Field(
        None,
        validation_alias=AliasChoices(
            "SIGHTLINE_KAFKA_BOOTSTRAP_SERVERS",
            "KAFKA_BOOTSTRAP_SERVERS",
        ),
        description="a Kafka to use instead of the embedded one",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("SIGHTLINE_DATABASE_URL", "DATABASE_URL"),
        description="a PostgreSQL with pgvector to use instead of the embedded one",
    )
    s3_bucket: str | None = Field(
        None,
        validation_alias=AliasChoices("SIGHTLINE_S3_BUCKET", "S3_BUCKET"),
        description="a bucket for snapshots and photos instead of a folder of the home",
    )
    s3_endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("SIGHTLINE_S3_ENDPOINT_URL", "S3_ENDPOINT_URL"),
        description="where the bucket is, when not at AWS",
    )
    s3_prefix: str = Field("", description="what all keys in the bucket begin with")

    fleet: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="whose frames a vision worker takes",
    )
    models: Path | None = Field(
        None, description="a folder of ONNX files, instead of a fetched pack"
    )
    pack: Literal["auto", "default", "dlib"] = Field(
        "auto", description="the model pack; `auto` is `default` where fetched, else `dlib`"
    )
    provider: Provider = Field("cpu", description="what ONNX Runtime runs on")
    device: int = Field(0, ge=0, description="number of the GPU")
    model_threads: int = Field(
        1, ge=1, description="threads of one model; more workers beat more threads"
    )

    metrics_host: str = Field("127.0.0.1", description="where a service's metrics are served")
    metrics_port: int = Field(0, ge=0, le=65535, description="0 is any free port, said in the log")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="of the services' logs"
    )
    shutdown_seconds: float = Field(10.0, gt=0, description="one deadline for all work at shutdown")

    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="which of several equal workers this is, the same after a restart: it then"
        " takes over its work at once",
    )
    run: str = Field(
        LIVE, pattern=RUN_NAME, description="the pass over the frames that a service works on"
    )
    faults: Path | None = Field(
        None, description="for tests: a folder whose files say where a service is to die"
    )

    capture: CaptureSettings = Field(default_factory=CaptureSettings)
    vision: VisionSettings = Field(default_factory=VisionSettings)
    match: MatchSettings = Field(default_factory=MatchSettings)
    sinks: SinkSettings = Field(default_factory=SinkSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is given
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is said to the program comes before its environment, the file is last."""
        file = YamlConfigSettingsSource(settings_cls, default_home() / "config.yaml")
        return init_settings, env_settings, file


def _refuse_unknown_variables() -> None:
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(_PREFIX) and name.split("__")[0] not in known:
            raise SightlineError(f"unknown setting {name} in the environment; see docs/settings.md")


@cache
def load_settings() -> Settings:
    """The settings of this process.

    Raises SightlineError with one line when a value or a key is wrong.
    """
    _refuse_unknown_variables()
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SightlineError(f"setting {where}: {first['msg']}") from None

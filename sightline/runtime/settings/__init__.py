"""Settings of all services: command line, environment, and `config.yaml` of the home."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from schemas.naming import checked_fleet
from schemas.topics import LIVE
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import Level, LogFormat
from sightline.runtime.settings import groups, sources
from sightline.runtime.settings.service import service_fields

RUN_NAME = r"^[a-z0-9][a-z0-9_]{0,39}$"
"""Pattern of a run's name, which topics, consumer groups and a schema are named by."""

Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]


def _either(name: str) -> AliasChoices:
    """Return the names of a variable that other programs use too: ours comes first."""
    return AliasChoices(f"{sources.PREFIX}{name}", name)


class LibrarySettings(BaseSettings):
    """Settings that the library needs; frozen, and an unknown key is an error."""

    model_config = SettingsConfigDict(
        env_prefix=sources.PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # compose files pass unset variables as empty
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    home: Path = Field(
        default_factory=sources.default_home, description="folder of the installation's data"
    )

    kafka_bootstrap_servers: str | None = Field(
        None,
        validation_alias=_either("KAFKA_BOOTSTRAP_SERVERS"),
        description="bootstrap servers of a Kafka to use instead of the embedded one",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=_either("DATABASE_URL"),
        description="URL of a PostgreSQL with pgvector to use instead of the embedded one",
    )
    database_password: SecretStr | None = Field(
        None,
        validation_alias=_either("DATABASE_PASSWORD"),
        description="password of `database_url`, if the URL has none; any characters",
    )
    db_secret_name: str | None = Field(
        None,
        validation_alias=_either("DB_SECRET_NAME"),
        description="a secret of AWS Secrets Manager as RDS writes it: username and password, and"
        " without `database_url` also host, port and dbname",
    )
    encryption_key_secret_name: str | None = Field(
        None,
        validation_alias=_either("ENCRYPTION_KEY_SECRET_NAME"),
        description="a secret of AWS Secrets Manager that holds `encryption.keys`",
    )
    s3_bucket: str | None = Field(
        None,
        validation_alias=_either("S3_BUCKET"),
        description="a bucket for snapshots and photos instead of a folder of the home",
    )
    s3_endpoint_url: str | None = Field(
        None,
        validation_alias=_either("S3_ENDPOINT_URL"),
        description="address of an S3-compatible service, instead of AWS",
    )
    s3_prefix: str = Field("", description="prefix of all keys in the bucket")

    fleet: Annotated[str, AfterValidator(checked_fleet)] = Field(
        "default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="fleet whose frames a vision worker processes",
    )
    models: Path | None = Field(
        None, description="folder of ONNX files to use instead of a fetched model pack"
    )
    pack: Literal["auto", "default", "dlib"] = Field(
        "auto", description="model pack; `auto` is `default` if it is fetched, else `dlib`"
    )
    provider: Provider = Field("cpu", description="execution provider of ONNX Runtime")
    device: int = Field(0, ge=0, description="index of the GPU")
    model_threads: int = Field(
        1, ge=1, description="threads of one model; more workers are faster than more threads"
    )
    model_batch_frames: int = Field(
        0,
        ge=0,
        le=256,
        description="most frames of any cameras that go through the models together, and whose"
        " pixels are in memory at once; 0 is 16 with CUDA and else 1",
    )

    metrics_host: str = Field(
        "127.0.0.1", description="address that a service's endpoint listens on"
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port of a service's endpoint; 0 is any free port, which the log names",
    )
    log_level: Level = Field("INFO", description="level of the services' logs")
    log_format: LogFormat = Field(
        "text", description="format of the services' logs: text for people, or JSON for programs"
    )
    shutdown_seconds: float = Field(
        10.0, gt=0, description="deadline in seconds for all work at shutdown"
    )

    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="name of a worker among those of a service, the same after a restart: it then"
        " has its partitions again at once",
    )
    principal: str = Field(
        "cli",
        pattern=r"^[a-z][a-z-]{0,39}$",
        description="principal for Kafka and PostgreSQL of a secure home; a service always uses its"
        " own",
    )
    run: str = Field(LIVE, pattern=RUN_NAME, description="run that a service works on")
    fault_injection: Path | None = Field(
        None,
        description="for tests: folder whose files name the points at which a service is killed",
    )

    health: groups.HealthSettings = Field(default_factory=groups.HealthSettings)
    display: groups.DisplaySettings = Field(default_factory=groups.DisplaySettings)
    kafka: groups.KafkaSettings = Field(default_factory=groups.KafkaSettings)
    tracing: groups.TracingSettings = Field(default_factory=groups.TracingSettings)
    evidence: groups.EvidenceSettings = Field(default_factory=groups.EvidenceSettings)
    match: groups.MatchSettings = Field(default_factory=groups.MatchSettings)
    retention: groups.RetentionSettings = Field(default_factory=groups.RetentionSettings)
    secrets: groups.SecretsSettings = Field(default_factory=groups.SecretsSettings)
    encryption: groups.EncryptionSettings = Field(default_factory=groups.EncryptionSettings)
    audit: groups.AuditSettings = Field(default_factory=groups.AuditSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments before the environment, `config.yaml` last."""
        file = InitSettingsSource(settings_cls, sources.read_config_file())
        return init_settings, env_settings, file


if TYPE_CHECKING:

    class Settings(LibrarySettings):
        """Settings of an installation: the library's, and the groups that services declare."""

        model_config = SettingsConfigDict(extra="ignore")  # the groups, see ServiceSettings.of

else:
    Settings = create_model("Settings", __base__=LibrarySettings, **service_fields())


@cache
def load_settings() -> Settings:
    """Return the settings of this process.

    Raises SightlineError with one line for an invalid value or an unknown key.
    """
    sources.refuse_unknown_variables(Settings)
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SightlineError(f"setting {key}: {first['msg']}") from None
    except SettingsError as error:  # a group or a list as JSON
        raise SightlineError(f"{error} is not the JSON that it takes") from None


def apply_command_line(pairs: Sequence[str]) -> None:
    """Apply `KEY=VALUE` of the command line to this process and the processes that it starts.

    Raises SightlineError for an unknown key and for a missing value.
    """
    sources.apply_command_line(Settings, pairs)
    load_settings.cache_clear()

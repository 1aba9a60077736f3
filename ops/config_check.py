"""Checks of the settings: every secret, file, server and model that they name is tried."""

import stat
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from ops.database.migrate import revisions
from schemas.naming import trial_key
from sightline.models.packs import resolve_pack
from sightline.runtime.connection_urls import kafka_servers, objects_folder
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.secrets import is_reference, reveal
from sightline.runtime.settings import Settings
from sightline.runtime.settings.provenance import setting_fields, source_of, value_of
from sightline.runtime.settings.sources import config_file, read_config_file
from sightline.storage.db import connect
from sightline.storage.fleets import list_topics
from sightline.storage.objects import open_store
from sightline.streaming.admin import is_reachable, topic_states

_CREATED_FOLDERS = ("home", "fault_injection")
"""Settings of folders that Sightline creates itself, so that they need not exist."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `detail` says what to do about a failure."""

    part: str
    state: Literal["right", "wrong"]
    detail: str


def check_config(settings: Settings) -> list[CheckResult]:
    """Check everything that is set; whatever is written for it is deleted again."""
    checks: dict[str, Callable[[Settings], str]] = {
        "secrets": _secrets,
        "files": _files,
        "kafka": _kafka,
        "database": _database,
        "topics": _topics,
        "objects": _objects,
        "models": _models,
    }
    return [_finding(part, run_check, settings) for part, run_check in checks.items()]


def _finding(part: str, run_check: Callable[[Settings], str], settings: Settings) -> CheckResult:
    try:
        return CheckResult(part, "right", run_check(settings))
    except (SightlineError, InfrastructureError) as error:
        return CheckResult(part, "wrong", str(error))


def _secrets(settings: Settings) -> str:
    secrets = [
        (path, field, secret)
        for path, field in setting_fields(Settings)
        if isinstance(secret := value_of(settings, path), SecretStr)
    ]
    references = [secret for _path, _field, secret in secrets if is_reference(secret)]
    for secret in references:
        reveal(secret, settings.secrets)
    if _is_readable_by_others(config_file()):
        file = read_config_file()
        for path, field, secret in secrets:
            if not is_reference(secret) and source_of(path, field, file) == "config.yaml":
                raise SightlineError(
                    f"{config_file()} holds {'.'.join(path)} and others may read it: chmod 600"
                )
    return f"{len(secrets)}, {len(references)} of them kept elsewhere"


def _is_readable_by_others(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _files(settings: Settings) -> str:
    paths: dict[str, Path] = {
        ".".join(path): value
        for path, _field in setting_fields(Settings)
        if path[0] not in _CREATED_FOLDERS and isinstance(value := value_of(settings, path), Path)
    }
    for setting, path in paths.items():
        if not path.exists():
            raise SightlineError(f"{setting}: there is no {path}")
    return f"{len(paths)} named, all there"


def _kafka(settings: Settings) -> str:
    servers = kafka_servers(settings)
    if not is_reachable(settings):
        raise SightlineError(f"no answer from {servers}")
    return servers


def _database(settings: Settings) -> str:
    with connect(settings) as db:
        row = db.execute("SELECT current_user, split_part(version(), ' ', 2)").fetchone()
    current, newest = revisions(settings)
    if current != newest:
        raise SightlineError(f"its revision is {current}, not {newest}: run `sightline db upgrade`")
    user, version = row or ("", "")
    return f"PostgreSQL {version} as {user}, revision {current}"


def _topics(settings: Settings) -> str:
    states = topic_states(settings, list_topics(settings))
    wrong = [state.topic.name for state in states if not state.in_order]
    if wrong:
        raise SightlineError(f"{', '.join(wrong)}: run `sightline topics apply`")
    return f"{len(states)}, all in order"


def _objects(settings: Settings) -> str:
    folder = objects_folder(settings)
    if not (settings.s3_bucket or folder.is_dir()):
        raise SightlineError(f"there is no {folder}: run `sightline up` first, or give S3_BUCKET")
    store = open_store(settings)
    key = trial_key(uuid.uuid4())
    store.put(key, b"a try", "text/plain")
    try:
        if store.get(key) != b"a try":
            raise SightlineError(f"{store.location(key)} does not hold what was put there")
    finally:
        store.delete(key)
    return store.location(key).rpartition("/")[0]


def _models(settings: Settings) -> str:
    return f"pack {resolve_pack(settings).id}"

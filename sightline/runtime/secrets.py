"""Secrets, wherever they are kept: as they are given, or by the name of the place that has them.

A setting that is a secret holds the secret itself, or one of:

- `file:/path`: the content of a file, without its last line break; read at every use
- `secretsmanager:NAME`, `secretsmanager:NAME#KEY`: of AWS Secrets Manager; with a key, the value
  of that key of a JSON object
- `ssm:NAME`: a parameter of AWS Systems Manager, decrypted

Call `reveal` where the secret is used, for every new connection, and `forget` when it was refused:
then a secret that was changed in its place needs no restart.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from sightline.runtime.errors import SightlineError, UnreachableError
from sightline.runtime.log_redaction import hide
from sightline.runtime.settings import load_settings

if TYPE_CHECKING:
    from botocore.config import Config

log = logging.getLogger(__name__)

FILE: Final = "file:"
SECRETS_MANAGER: Final = "secretsmanager:"
SSM: Final = "ssm:"

_TIMEOUT_SECONDS = 5.0
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    value: str
    fetched: float
    """Seconds of the monotonic clock."""
    refused: bool = False
    """It was tried and did not open; another must be fetched."""


_kept: dict[str, _Kept] = {}
_lock = Lock()


def reveal(secret: SecretStr) -> str:
    """The secret itself, as its place has it now or had it within `secrets.refresh_seconds`.

    From now on it is kept out of the logs. Raises SightlineError when its place has none, and
    UnreachableError, which is one, when AWS does not answer and nothing is kept.
    """
    value = _found(secret.get_secret_value())
    hide(value)
    return value


def _found(given: str) -> str:
    if given.startswith(FILE):
        return _read(Path(given.removeprefix(FILE)).expanduser())
    if given.startswith((SECRETS_MANAGER, SSM)):
        return _from_aws(given)
    return given


def forget(secret: SecretStr) -> bool:
    """Note that a secret was refused; whether its place has another one now, worth a try.

    Raises what `reveal` raises.
    """
    given = secret.get_secret_value()
    with _lock:
        refused = _kept.get(given)
        if refused is None:
            return False
        _kept[given] = _Kept(refused.value, refused.fetched, refused=True)
    return reveal(secret) != refused.value


def is_reference(secret: SecretStr) -> bool:
    """Whether it names the place of a secret instead of being one."""
    return secret.get_secret_value().startswith((FILE, SECRETS_MANAGER, SSM))


def _read(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SightlineError(f"the secret in {path} cannot be read: {reason}") from error
    return text.removesuffix("\n").removesuffix("\r")


def _from_aws(reference: str) -> str:
    refresh = load_settings().secrets.refresh_seconds
    with _lock:
        kept = _kept.get(reference)
        if kept and not kept.refused and time.monotonic() - kept.fetched < refresh:
            return kept.value
        try:
            value = _fetch(reference)
        except UnreachableError as error:
            if kept is None or kept.refused:
                raise
            log.warning("%s; the secret of before is used", error)
            value = kept.value
        _kept[reference] = _Kept(value, time.monotonic())
        return value


def _fetch(reference: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3's own time

    try:
        if reference.startswith(SSM):
            return _parameter(reference.removeprefix(SSM))
        name, _, key = reference.removeprefix(SECRETS_MANAGER).partition("#")
        return _value_of(_secret(name), name, key)
    except ClientError as error:
        said = error.response.get("Error", {})
        raise SightlineError(
            f"the secret {reference} cannot be had: {said.get('Code')}: {said.get('Message')}"
        ) from error
    except BotoCoreError as error:
        raise UnreachableError(f"the secret {reference} cannot be had: {error}") from error


def _parameter(name: str) -> str:
    import boto3  # noqa: PLC0415 - it takes its time to load

    # A client for each fetch: address and credentials are those of this moment.
    answer = boto3.client("ssm", config=_timeouts()).get_parameter(Name=name, WithDecryption=True)
    return answer["Parameter"].get("Value", "")


def _secret(name: str) -> str:
    import boto3  # noqa: PLC0415

    client = boto3.client("secretsmanager", config=_timeouts())
    answer = client.get_secret_value(SecretId=name)
    if "SecretString" not in answer:
        raise SightlineError(f"the secret {SECRETS_MANAGER}{name} is binary; store it as text")
    return answer["SecretString"]


def _value_of(text: str, name: str, key: str) -> str:
    if not key:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        raise SightlineError(
            f"the secret {SECRETS_MANAGER}{name} is no JSON object with the key {key}"
        ) from None
    return value if isinstance(value, str) else json.dumps(value)


def _timeouts() -> "Config":
    from botocore.config import Config  # noqa: PLC0415

    return Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )

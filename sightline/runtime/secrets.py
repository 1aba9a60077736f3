"""Secrets: plain values, and references to files and to AWS.

A setting that is a secret holds the secret itself, or one of these references:

- `file:/path`: the content of a file, without its last line break; read at every use
- `secretsmanager:NAME`, `secretsmanager:NAME#KEY`: a secret of AWS Secrets Manager; with a key, the
  value of that key of a JSON object
- `ssm:NAME`: a parameter of AWS Systems Manager, decrypted

Call `reveal` where the secret is used, for every new connection, and `mark_refused` when it was
refused: then a secret that was changed at its source needs no restart.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import SightlineError, UnreachableError
from sightline.runtime.log_redaction import register_secret
from sightline.runtime.settings.groups import SecretsSettings

if TYPE_CHECKING:
    from botocore.config import Config

log = logging.getLogger(__name__)

FILE: Final = "file:"
SECRETS_MANAGER: Final = "secretsmanager:"
SSM: Final = "ssm:"

_AWS_TIMEOUT_SECONDS = 5.0
_AWS_ATTEMPTS = 2

_SYSTEM_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class _CachedSecret:
    value: str
    fetched_at: float
    """Seconds of the monotonic clock."""
    refused: bool = False
    """Set when a server refused it: the next `reveal` fetches it again."""


_cache: dict[str, _CachedSecret] = {}
_lock = Lock()


def reveal(secret: SecretStr, policy: SecretsSettings, clock: Clock = _SYSTEM_CLOCK) -> str:
    """Return the secret itself; a reference to AWS is fetched again after `refresh_seconds`.

    The value is redacted from the logs from now on. Raises SightlineError when the reference
    leads to no secret, and UnreachableError, a SightlineError, when AWS does not answer and no
    value is cached.
    """
    reference = secret.get_secret_value()
    if not reference.startswith((SECRETS_MANAGER, SSM)):
        return reveal_local(secret)
    value = _from_aws(reference, policy, clock)
    register_secret(value)
    return value


def reveal_local(secret: SecretStr) -> str:
    """Return a secret that is plain or in a file, which is read at every call.

    The value is redacted from the logs from now on. Raises SightlineError when the file cannot
    be read.
    """
    value = secret.get_secret_value()
    if value.startswith(FILE):
        value = _read(Path(value.removeprefix(FILE)).expanduser())
    register_secret(value)
    return value


def mark_refused(secret: SecretStr, policy: SecretsSettings, clock: Clock = _SYSTEM_CLOCK) -> bool:
    """Note that a secret was refused; return whether its source has another value by now.

    Raises SightlineError as `reveal` does.
    """
    reference = secret.get_secret_value()
    with _lock:
        refused = _cache.get(reference)
        if refused is None:
            return False
        _cache[reference] = _CachedSecret(refused.value, refused.fetched_at, refused=True)
    return reveal(secret, policy, clock) != refused.value


def is_reference(secret: SecretStr) -> bool:
    """Tell whether a setting refers to a secret instead of being one."""
    return secret.get_secret_value().startswith((FILE, SECRETS_MANAGER, SSM))


def _read(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise SightlineError(f"the secret in {path} cannot be read: {reason}") from error
    return text.removesuffix("\n").removesuffix("\r")


def _from_aws(reference: str, policy: SecretsSettings, clock: Clock) -> str:
    with _lock:
        cached = _cache.get(reference)
        is_usable = cached is not None and not cached.refused
        if cached and is_usable and clock.monotonic() - cached.fetched_at < policy.refresh_seconds:
            return cached.value
        try:
            value = _fetch(reference)
        except UnreachableError as error:
            if cached is None or cached.refused:
                raise
            log.warning("%s; the secret of before is used", error)
            value = cached.value
        _cache[reference] = _CachedSecret(value, clock.monotonic())
        return value


def _fetch(reference: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to load

    try:
        if reference.startswith(SSM):
            return _parameter(reference.removeprefix(SSM))
        name, _, key = reference.removeprefix(SECRETS_MANAGER).partition("#")
        return _value_of(_secrets_manager_value(name), name, key)
    except ClientError as error:
        details = error.response.get("Error", {})
        raise SightlineError(
            f"the secret {reference} cannot be had: {details.get('Code')}: {details.get('Message')}"
        ) from error
    except BotoCoreError as error:
        raise UnreachableError(f"the secret {reference} cannot be had: {error}") from error


def _parameter(name: str) -> str:
    import boto3  # noqa: PLC0415 - slow to load

    # A client for each fetch takes address and credentials from the environment of this moment.
    answer = boto3.client("ssm", config=_timeouts()).get_parameter(Name=name, WithDecryption=True)
    return answer["Parameter"].get("Value", "")


def _secrets_manager_value(name: str) -> str:
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
        connect_timeout=_AWS_TIMEOUT_SECONDS,
        read_timeout=_AWS_TIMEOUT_SECONDS,
        retries={"total_max_attempts": _AWS_ATTEMPTS, "mode": "standard"},
    )

"""Camera credentials from a secret store: `rtsp://{ssm:/lobby}@192.0.2.7/stream`.

The braces hold a secret reference (`sightline/runtime/secrets.py`) to `user:password`, in which any
character may occur.
"""

import re
from contextlib import suppress
from urllib.parse import quote

from pydantic import SecretStr

from sightline.runtime.errors import SightlineError
from sightline.runtime.secrets import FILE, SECRETS_MANAGER, SSM, mark_refused, reveal
from sightline.runtime.settings.groups import SecretsSettings

DEFAULT_SECRETS = SecretsSettings()

_REFERENCE = re.compile(rf"\{{((?:{FILE}|{SECRETS_MANAGER}|{SSM})[^{{}}]+)\}}")


def mask_credentials(uri: str) -> str:
    """Return the URI with `***` for its credentials, to be parsed or shown."""
    return _REFERENCE.sub("***", uri)


def resolve_credentials(uri: str, secrets: SecretsSettings) -> str:
    """Return the URI with its current credentials. Raises SightlineError without them."""
    return _REFERENCE.sub(lambda match: _escaped(reveal(SecretStr(match[1]), secrets)), uri)


def forget_credentials(uri: str, secrets: SecretsSettings) -> None:
    """Drop the URI's credentials from the cache: the camera has refused them."""
    for reference in _REFERENCE.findall(uri):
        with suppress(SightlineError):  # resolving them reports a reference that cannot be read
            mark_refused(SecretStr(reference), secrets)


def _escaped(credentials: str) -> str:
    return ":".join(quote(part, safe="") for part in credentials.split(":", 1))

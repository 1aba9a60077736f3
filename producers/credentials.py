"""Users and passwords of cameras that are kept elsewhere: `rtsp://{ssm:/lobby}@192.0.2.7/stream`.

In braces stands where `user:password` is (`sightline/runtime/secrets.py`); it may hold
any character.
"""

import re
from contextlib import suppress
from urllib.parse import quote

from pydantic import SecretStr

from sightline.runtime.errors import SightlineError
from sightline.runtime.secrets import FILE, SECRETS_MANAGER, SSM, forget, reveal

_PLACE = re.compile(rf"\{{((?:{FILE}|{SECRETS_MANAGER}|{SSM})[^{{}}]+)\}}")


def left_out(uri: str) -> str:
    """The URI for whoever only looks at its form."""
    return _PLACE.sub("***", uri)


def filled_in(uri: str) -> str:
    """The URI with its credentials, as they are now. Raises SightlineError without them."""
    return _PLACE.sub(lambda place: _escaped(reveal(SecretStr(place[1]))), uri)


def refused(uri: str) -> None:
    """Have credentials fetched again the next time: the camera did not let us in."""
    for reference in _PLACE.findall(uri):
        with suppress(SightlineError):  # that they cannot be had is said when they are wanted
            forget(SecretStr(reference))


def _escaped(credentials: str) -> str:
    return ":".join(quote(part, safe="") for part in credentials.split(":", 1))

r"""What a line of a log must not hold: secrets, vectors of faces, and pictures.

Nobody logs these by intention. This is for the exception that quotes its input, the library that
prints its settings, and the day on which somebody logs a whole record. It goes by looks, so a
secret that is a plain word has to be made known: `hide`.
"""

import re
from collections.abc import Mapping
from typing import Any

_LONGEST = 8_192
"""Of a line; more than that is a picture, or nothing that anybody reads."""

_SHORTEST_SECRET = 8
"""A shorter one would blot out ordinary words."""

_hidden: set[str] = set()

# Every rule takes time in proportion to the line's length: anybody who asks the API, and every
# camera, has a say in what is logged. Possessive (`++`, `*+`) and atomic (`(?>`) parts never try
# again what they have matched.
_NUMBER = r"[-+]?\d++\.\d*+(?:[eE][-+]?\d++)?+"
_ESCAPE = r"""(?>\\(?:x[0-9a-fA-F]{2}|[0-7]{3}|[abfnrtv0'"\\]))"""

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)", "<key>"),
        (r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^\s\"']{1,300}@", r"\1***@"),
        (r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}", r"\1 ***"),
        (r"\bsl_\w{1,64}_[\w-]{8,}", "sl_***"),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "***"),
        (
            r"""(?ix)((?:password|passwd|pwd|passphrase|secret|token|cookie|authorization
            |api[-_]?key|access[-_]?key(?:[-_]id)?|private[-_]?key)
            ["']?\s?[=:]\s?)(?!\*\*\*|(?:bearer|basic)\s\*\*\*)
            (?:"[^"]*"|'[^']*'|[^\s,;&"')}\]]+)""",
            r"\1***",
        ),
        (rf"{_ESCAPE}(?:[^\\]{{0,6}}+{_ESCAPE}){{11,}}+", "<bytes>"),
        (rf"(?<!\d)(?:{_NUMBER}[,\s]++){{7,}}{_NUMBER}", "<numbers>"),
        (r"[A-Za-z0-9+/=_-]{160,}", "<data>"),
    )
)


def hide(secret: str) -> None:
    """Never let this very text into a log."""
    if len(secret) >= _SHORTEST_SECRET:
        _hidden.add(secret)


def clean(text: str) -> str:
    """A line as it may be logged."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text)} characters)"
    for secret in _hidden:
        text = text.replace(secret, "***")
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def clean_arguments(arguments: Any) -> Any:
    """A log record's arguments: what is bytes, an array or a message is not written out."""
    if isinstance(arguments, Mapping):
        return {name: _shown(value) for name, value in arguments.items()}
    return tuple(_shown(value) for value in arguments)


def _shown(value: object) -> object:
    """A value as it may be formatted."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if hasattr(value, "SerializeToString"):  # a message, of a face or a frame
        return f"<{type(value).__name__}>"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"<{type(value).__name__} {shape}>"
    return value

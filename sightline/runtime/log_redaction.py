r"""Redaction of logs: secrets, embeddings and pictures are removed from every line.

Nothing logs these on purpose. Redaction is for an exception that quotes its input, a library that
prints its settings, and a line that holds a whole record. Rules match the form of a text, so a
secret that is a plain word has to be registered: `register_secret`.
"""

import re
from collections.abc import Mapping
from typing import Any

_MAX_LINE_CHARACTERS = 8_192
"""Longer lines hold a picture, or nothing that a person reads."""

_MIN_SECRET_CHARACTERS = 8
"""Shorter secrets would redact ordinary words."""

_registered_secrets: set[str] = set()

# Every rule takes time linear in the line's length, because clients of the API and cameras
# influence what is logged. Possessive (`++`, `*+`) and atomic (`(?>`) parts never backtrack.
_NUMBER = r"[-+]?\d++\.\d*+(?:[eE][-+]?\d++)?+"
_ESCAPE = r"""(?>\\(?:x[0-9a-fA-F]{2}|[0-7]{3}|[abfnrtv0'"\\]))"""

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
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


def register_secret(secret: str) -> None:
    """Register a secret whose text is redacted from all logs from now on."""
    if len(secret) >= _MIN_SECRET_CHARACTERS:
        _registered_secrets.add(secret)


def redact(text: str) -> str:
    """Return a line with secrets, embeddings and pictures redacted."""
    if len(text) > _MAX_LINE_CHARACTERS:
        text = f"{text[:_MAX_LINE_CHARACTERS]}... ({len(text)} characters)"
    for secret in _registered_secrets:
        text = text.replace(secret, "***")
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_arguments(arguments: Any) -> Any:
    """Return a log record's arguments with bytes, arrays and messages replaced by their kind."""
    if isinstance(arguments, Mapping):
        return {name: _summary(value) for name, value in arguments.items()}
    return tuple(_summary(value) for value in arguments)


def _summary(value: object) -> object:
    """Return a short description of bytes, an array or a message; other values as they are."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if hasattr(value, "SerializeToString"):  # a message, of a face or a frame
        return f"<{type(value).__name__}>"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"<{type(value).__name__} {shape}>"
    return value

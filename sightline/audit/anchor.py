"""Anchor of the audit trail: its signed head in the home, by which a truncation is detected.

`head.json` is the latest head. A head that the trail does not contain any more is kept in
`lost.jsonl` for ever, and `sightline audit verify` reports it.
"""

import json
from pathlib import Path

from sightline.audit.chain import Head
from sightline.audit.keys import SigningKey, TrustedKeys
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.file_locks import locked
from sightline.runtime.private_files import write_private_file
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection


class Anchor:
    """Heads of the trail that a home keeps."""

    def __init__(self, settings: Settings, key: SigningKey) -> None:
        self._folder = settings.home / "audit"
        self._key = key

    def move(self, db: Connection, head: Head) -> None:
        """Keep a committed head of the trail, unless a later one is kept.

        Raises InfrastructureError when the disk fails, SightlineError for a damaged file.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder / "head.lock"):
                previous = self._previous()
                if (
                    previous is not None
                    and previous.line >= head.line
                    and contains_head(db, previous)
                ):
                    return
                if previous is not None and not contains_head(db, previous):
                    with (self._folder / "lost.jsonl").open("a") as lost:
                        lost.write((self._folder / "head.json").read_text() + "\n")
                self._write(head)
        except OSError as error:
            raise InfrastructureError(f"{self._folder}: {error.strerror}") from error

    def _previous(self) -> Head | None:
        path = self._folder / "head.json"
        return _read(path.read_text(), path)[0] if path.exists() else None

    def _write(self, head: Head) -> None:
        content = {
            "line": head.line,
            "hash": head.hash.hex(),
            "key_id": self._key.key_id,
            "signature": self._key.sign(_signed(head)).hex(),
        }
        write_private_file(self._folder / "head.json", json.dumps(content).encode())


def heads(settings: Settings, trusted: TrustedKeys) -> list[Head]:
    """Return all heads of the home. Raises SightlineError for a head without a valid signature."""
    kept_heads = []
    for name in ("lost.jsonl", "head.json"):
        path = settings.home / "audit" / name
        for text in path.read_text().splitlines() if path.exists() else ():
            head, key_id, signature = _read(text, path)
            if not trusted.verify(key_id, _signed(head), signature):
                raise SightlineError(f"{path}: none of this installation's keys has signed it")
            kept_heads.append(head)
    return kept_heads


def _signed(head: Head) -> bytes:
    return f"sightline audit head {head.line} {head.hash.hex()}".encode()


def contains_head(db: Connection, head: Head) -> bool:
    """Tell whether the trail contains a head."""
    row = db.execute("SELECT hash FROM public.audit WHERE line = %s", (head.line,)).fetchone()
    return row is not None and bytes(row[0]) == head.hash


def _read(text: str, path: Path) -> tuple[Head, str, bytes]:
    """Parse a head, the id of its key, and its signature. Raises SightlineError."""
    try:
        values = json.loads(text)
        head = Head(int(values["line"]), bytes.fromhex(values["hash"]))
        return head, str(values["key_id"]), bytes.fromhex(values["signature"])
    except (ValueError, KeyError, TypeError) as error:
        raise SightlineError(f"{path} is damaged: keep it, and see `sightline audit verify`") from (
            error
        )

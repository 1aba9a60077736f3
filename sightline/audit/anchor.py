"""The end of the trail, kept in the home and signed: by it shows what is cut off the trail.

`head.json` is the latest end. It gives way only to one whose trail still has it; one that does
not is kept in `lost.jsonl`, for ever, and `sightline audit verify` says so.
"""

import json
import os
import tempfile
from pathlib import Path

from sightline.audit.chain import Head
from sightline.audit.keys import Signer, Trusted
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.file_locks import locked
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection


class Anchor:
    """The heads in a home."""

    def __init__(self, settings: Settings, key: Signer) -> None:
        self._folder = settings.home / "audit"
        self._key = key

    def move(self, db: Connection, head: Head) -> None:
        """Note that the trail has come to its line `head`, which is committed.

        Raises InfrastructureError when the disk fails, SightlineError when the old head is no
        head any more.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder / "head.lock"):
                before = self._before()
                if before is not None and before.line >= head.line and has(db, before):
                    return
                if before is not None and not has(db, before):
                    with (self._folder / "lost.jsonl").open("a") as lost:
                        lost.write((self._folder / "head.json").read_text() + "\n")
                self._write(head)
        except OSError as error:
            raise InfrastructureError(f"{self._folder}: {error.strerror}") from error

    def _before(self) -> Head | None:
        path = self._folder / "head.json"
        return _read(path.read_text(), path)[0] if path.exists() else None

    def _write(self, head: Head) -> None:
        told = {
            "line": head.line,
            "hash": head.hash.hex(),
            "key_id": self._key.key_id,
            "signature": self._key.sign(_signed(head)).hex(),
        }
        number, draft = tempfile.mkstemp(prefix=".", dir=self._folder)
        with os.fdopen(number, "w") as file:
            file.write(json.dumps(told))
        Path(draft).replace(self._folder / "head.json")


def heads(settings: Settings, trusted: Trusted) -> list[Head]:
    """All heads that the home knows. Raises SightlineError for one that somebody has written."""
    found = []
    for name in ("lost.jsonl", "head.json"):
        path = settings.home / "audit" / name
        for told in path.read_text().splitlines() if path.exists() else ():
            head, key_id, signature = _read(told, path)
            if not trusted.holds(key_id, _signed(head), signature):
                raise SightlineError(f"{path}: none of this installation's keys has signed it")
            found.append(head)
    return found


def _signed(head: Head) -> bytes:
    return f"sightline audit head {head.line} {head.hash.hex()}".encode()


def has(db: Connection, head: Head) -> bool:
    """Whether the trail comes, or has come, to this end."""
    row = db.execute("SELECT hash FROM public.audit WHERE line = %s", (head.line,)).fetchone()
    return row is not None and bytes(row[0]) == head.hash


def _read(told: str, path: Path) -> tuple[Head, str, bytes]:
    """A head, the key that has signed it, and the signature."""
    try:
        values = json.loads(told)
        head = Head(int(values["line"]), bytes.fromhex(values["hash"]))
        return head, str(values["key_id"]), bytes.fromhex(values["signature"])
    except (ValueError, KeyError, TypeError) as error:
        raise SightlineError(f"{path} is damaged: keep it, and see `sightline audit verify`") from (
            error
        )

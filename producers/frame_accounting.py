"""Account of a camera's frames: captured = delivered + dropped by reason + waiting."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sightline.runtime.errors import InfrastructureError

SPOOL_FOLDER = "cameras"
"""Folder below the home; one file per camera holds its account and its waiting frames."""

SPOOL_SUFFIX = ".sqlite3"


@dataclass(slots=True)
class FrameCounts:
    """Counts of captured and dropped frames that are not in the account yet."""

    captured: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def capture(self, frames: int) -> None:
        """Count captured frames."""
        self.captured += frames

    def drop(self, reason: str, frames: int = 1) -> None:
        """Count frames that will not be delivered; `reason` is a label value of the metric."""
        if frames:
            self.dropped[reason] += frames

    def clear(self) -> None:
        """Reset all counts to 0."""
        self.captured = 0
        self.dropped.clear()


@dataclass(slots=True)
class FrameAccount:
    """A camera's frame account over all processes that have read it."""

    captured: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    """Frames on disk for Kafka, and captured ones that are published only if a motion begins."""

    @property
    def balances(self) -> bool:
        """True if every captured frame is delivered, dropped or waiting."""
        return self.captured == self.delivered + self.dropped.total() + self.waiting

    def __str__(self) -> str:
        return (
            f"{self.captured} captured, {self.delivered} delivered, dropped {dict(self.dropped)},"
            f" {self.waiting} waiting"
        )


def read_accounts(home: Path) -> dict[str, FrameAccount]:
    """Return the account of every camera of this home, also while the camera is being read.

    Raises InfrastructureError when a file cannot be read.
    """
    files = sorted((home / SPOOL_FOLDER).glob(f"*{SPOOL_SUFFIX}"))
    return {file.name.removesuffix(SPOOL_SUFFIX): _account(file) for file in files}


def _account(file: Path) -> FrameAccount:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as database:
            database.execute("BEGIN")  # all queries see one state
            [version] = database.execute("PRAGMA user_version").fetchone()
            return account_of(database) if version else FrameAccount()  # the file is being created
    except sqlite3.Error as error:
        raise InfrastructureError(f"{file}: {error}") from error


def account_of(database: sqlite3.Connection) -> FrameAccount:
    """Return the account in a camera's file."""
    captured, delivered, held, kept_number = database.execute(
        "SELECT captured, delivered, held, kept FROM camera"
    ).fetchone()
    [waiting] = database.execute(
        "SELECT count(*) FROM frames WHERE id <> ?", (kept_number,)
    ).fetchone()
    dropped = database.execute("SELECT reason, frames FROM dropped").fetchall()
    return FrameAccount(captured, delivered, Counter(dict(dropped)), waiting + held)

"""What became of every frame of a camera: captured = delivered + dropped by reason + waiting."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sightline.runtime.errors import InfrastructureError

FOLDER = "cameras"
"""Below the home: a file for each camera, with its account and its frames that wait for Kafka."""

SUFFIX = ".sqlite3"


@dataclass(slots=True)
class Tally:
    """What has happened to frames and is not in the account yet."""

    captured: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def capture(self, frames: int) -> None:
        """Frames have been read."""
        self.captured += frames

    def drop(self, reason: str, frames: int = 1) -> None:
        """Frames will not be delivered; `reason` is one of those that the metric names."""
        if frames:
            self.dropped[reason] += frames

    def clear(self) -> None:
        """It is in the account now, or has been before."""
        self.captured = 0
        self.dropped.clear()


@dataclass(slots=True)
class Account:
    """A camera's account over all of its service's lives."""

    captured: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    """On disk for Kafka, or just captured: it is not known yet whether they belong to a motion."""

    @property
    def balances(self) -> bool:
        """Every frame is accounted for."""
        return self.captured == self.delivered + self.dropped.total() + self.waiting

    def __str__(self) -> str:
        return (
            f"{self.captured} captured, {self.delivered} delivered, dropped {dict(self.dropped)},"
            f" {self.waiting} waiting"
        )


def read(home: Path) -> dict[str, Account]:
    """The account of every camera that this home has read, also while it is being read.

    Raises InfrastructureError when a file cannot be read.
    """
    files = sorted((home / FOLDER).glob(f"*{SUFFIX}"))
    return {file.name.removesuffix(SUFFIX): _account(file) for file in files}


def _account(file: Path) -> Account:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as database:
            database.execute("BEGIN")  # one moment for all that is read
            [version] = database.execute("PRAGMA user_version").fetchone()
            return account_of(database) if version else Account()  # it is being made
    except sqlite3.Error as error:
        raise InfrastructureError(f"{file}: {error}") from error


def account_of(database: sqlite3.Connection) -> Account:
    """The account that a camera's file holds."""
    captured, delivered, held, kept = database.execute(
        "SELECT captured, delivered, held, kept FROM camera"
    ).fetchone()
    [waiting] = database.execute("SELECT count(*) FROM frames WHERE id <> ?", (kept,)).fetchone()
    dropped = database.execute("SELECT reason, frames FROM dropped").fetchall()
    return Account(captured, delivered, Counter(dict(dropped)), waiting + held)

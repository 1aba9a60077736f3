"""Plays the load: of each site one film after another, when all frames of the last were seen."""

import logging
import time

import psycopg

from benchmarks.chaos.load import Load
from producers import ledger
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.db import Connection

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5

_SEEN = "SELECT coalesce(sum(frames_seen), 0) FROM motion_events WHERE camera_id = %s"


class Player:
    """Starts films, and tells when the last one is through."""

    def __init__(self, settings: Settings, load: Load) -> None:
        self._settings = settings
        self._left = {site: list(films) for site, films in load.playlist().items()}
        self._plays: dict[str, str] = {}

    def play(self, seconds: float) -> None:
        """Play it all. Raises SightlineError when it is not through in time."""
        until = time.monotonic() + seconds
        while self._left or self._plays:
            if time.monotonic() > until:
                raise SightlineError(
                    f"the load is not through after {seconds:.0f} s: {self._plays} plays"
                )
            try:
                self._look()
            except (psycopg.OperationalError, InfrastructureError) as error:
                log.info("the player waits: %s", str(error).strip())
            time.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        with psycopg.connect(
            database_url(self._settings), autocommit=True, connect_timeout=3,
            options="-c statement_timeout=5000",
        ) as db:  # fmt: skip
            rows = db.execute("SELECT camera_id FROM cameras WHERE status = 'ended'")
            ended = {str(name) for (name,) in rows}
            for site, film in list(self._plays.items()):
                if film in ended and self._is_through(db, film):
                    del self._plays[site]
            for site in [one for one in self._left if one not in self._plays]:
                cameras.restart(db, self._left[site][0])
                self._plays[site] = self._left[site].pop(0)
                if not self._left[site]:
                    del self._left[site]

    def _is_through(self, db: Connection, film: str) -> bool:
        """Whether the frames of a film that has ended were all seen: those that were delivered,
        by vision and, after it, by the visitor log."""
        account = ledger.read(self._settings.home)[film]
        seen = db.execute(_SEEN, (film,)).fetchone()
        return not account.waiting and seen is not None and seen[0] >= account.delivered > 0

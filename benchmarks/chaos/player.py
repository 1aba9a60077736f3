"""Player of the load: each site's next film starts when all frames of the last are processed."""

import logging
import time

import psycopg

from benchmarks.chaos.load import Load
from producers import frame_accounting
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.db import Connection

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5

_FRAMES_SEEN = "SELECT coalesce(sum(frames_seen), 0) FROM motion_events WHERE camera_id = %s"


class Player:
    """Starter of films that waits until the last one has been processed."""

    def __init__(self, settings: Settings, load: Load) -> None:
        self._settings = settings
        self._remaining = {site: list(films) for site, films in load.playlist().items()}
        self._playing: dict[str, str] = {}

    def play(self, seconds: float) -> None:
        """Play all films. Raises SightlineError if they are not processed in time."""
        deadline = time.monotonic() + seconds
        while self._remaining or self._playing:
            if time.monotonic() > deadline:
                raise SightlineError(
                    f"the load is not through after {seconds:.0f} s: {self._playing} play"
                )
            try:
                self._advance()
            except (psycopg.OperationalError, InfrastructureError) as error:
                log.info("the player waits: %s", str(error).strip())
            time.sleep(_LOOK_SECONDS)

    def _advance(self) -> None:
        with psycopg.connect(
            database_url(self._settings), autocommit=True, connect_timeout=3,
            options="-c statement_timeout=5000",
        ) as db:  # fmt: skip
            rows = db.execute("SELECT camera_id FROM cameras WHERE status = 'ended'")
            ended = {str(name) for (name,) in rows}
            for site, film in list(self._playing.items()):
                if film in ended and self._is_through(db, film):
                    del self._playing[site]
            for site in [waiting for waiting in self._remaining if waiting not in self._playing]:
                cameras.restart(db, self._remaining[site][0])
                self._playing[site] = self._remaining[site].pop(0)
                if not self._remaining[site]:
                    del self._remaining[site]

    def _is_through(self, db: Connection, film: str) -> bool:
        """Return True if vision and the visitor log have processed all frames of an ended film."""
        account = frame_accounting.read_accounts(self._settings.home)[film]
        row = db.execute(_FRAMES_SEEN, (film,)).fetchone()
        return not account.waiting and row is not None and row[0] >= account.delivered > 0

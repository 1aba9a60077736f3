"""Plays the load: of each site one film after another, when vision is through with the last."""

import logging
import time
from collections.abc import Callable

import psycopg

from benchmarks.chaos.load import Load
from schemas import topics
from sightline.endpoints import database_url
from sightline.errors import SightlineError
from sightline.settings import Settings
from sightline.store import cameras

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5

Standing = Callable[[str, float], int | None]
"""The value of a series of the watch, looked at since a moment; None where nobody has since."""


class Player:
    """Starts films, and tells when the last one is through."""

    def __init__(self, settings: Settings, load: Load, standing: Standing) -> None:
        self._settings = settings
        self._standing = standing
        self._partitions = load.partitions()
        self._left = {site: list(films) for site, films in load.playlist().items()}
        self._plays: dict[str, str] = {}
        self._ended_at: dict[str, float] = {}
        self.played = 0

    def play(self, seconds: float) -> None:
        """Play it all. Raises SightlineError when it is not through in time."""
        until = time.monotonic() + seconds
        while self._left or self._plays:
            if time.monotonic() > until:
                raise SightlineError(f"the load is not through after {seconds:.0f} s: "
                                     f"{', '.join(self._plays.values())}")  # fmt: skip
            try:
                self._look()
            except psycopg.OperationalError as error:
                log.info("the player waits for the database: %s", str(error).strip())
            time.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        with psycopg.connect(
            database_url(self._settings), autocommit=True, connect_timeout=3,
            options="-c statement_timeout=5000",
        ) as db:  # fmt: skip
            rows = db.execute("SELECT camera_id FROM cameras WHERE status = 'ended'")
            ended = {str(name) for (name,) in rows}
            for site, film in list(self._plays.items()):
                if film in ended and self._is_through(film):
                    del self._plays[site]
                    self.played += 1
            for site in [one for one in self._left if one not in self._plays]:
                film = self._left[site].pop(0)
                if not self._left[site]:
                    del self._left[site]
                cameras.restart(db, film)
                self._plays[site] = film

    def _is_through(self, film: str) -> bool:
        """Whether vision has committed the film's last frame: asked after it was in Kafka."""
        since = self._ended_at.setdefault(film, time.monotonic())
        number = self._partitions[film]
        end = self._standing(f"{topics.frames().name}/{number}", since)
        return end is not None and end == self._standing(f"vision/{number}", since)

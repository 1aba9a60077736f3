"""The load: films of enrolled, unknown and unidentified people, the same in every run.

The outcome must follow from the load alone, or a comparison would be meaningless. Capture times
are fixed, no frame of a film is skipped, and a site's matcher must receive its faces in one order
however long a fault delays a worker. So each site plays one film at a time, and the next one
starts when every frame of the previous one has been processed: the site's faces are in its
partition in the order of their capture. Sites do not share unknown persons, so their films may run
at the same time. Unknown persons come again after more than the half minute in which one snapshot
is taken, as the first of two snapshots would be a matter of timing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.material import FACE_MODELS, absent, link_face_models, own_films
from sightline.storage.cameras import CameraSettings, NewCamera, Pace

SITES = 3
FRAMES_PER_SECOND = 4.0
WIDTH = 384
"""Width of the pictures in pixels: two cores must have spare capacity."""

FILM_SECONDS = 37.0
_FROM_FILM_TO_FILM = timedelta(seconds=60)
_AGO = timedelta(hours=8)
"""Recent, as rows without a person are deleted after a day, and no film is still running."""


@dataclass(frozen=True, slots=True)
class Load:
    """Cameras by site, in the order in which they play."""

    films: tuple[Path, ...]
    photos: tuple[tuple[str, Path], ...]
    models: Path | None  # None: the pack dlib
    rounds: int
    first: datetime
    sites: int = SITES

    def cameras(self, pace: Pace) -> list[NewCamera]:
        """Return all cameras round by round: those of one round have a partition each."""
        return [
            self._camera(site, number, pace)
            for number in range(self.rounds)
            for site in range(self.sites)
        ]

    def playlist(self) -> dict[str, list[str]]:
        """Return the cameras of each site in the order in which they play."""
        return {
            _site(site): [_name(site, number) for number in range(self.rounds)]
            for site in range(self.sites)
        }

    def _camera(self, site: int, number: int, pace: Pace) -> NewCamera:
        film = self.films[(site + number) % len(self.films)]
        start_time = self.first + number * _FROM_FILM_TO_FILM
        return NewCamera(
            camera_id=_name(site, number),
            uri=str(film),
            site_id=_site(site),
            entry_point=f"door {site}",
            room_id=f"room-{site}",
            settings=CameraSettings(
                fps=FRAMES_PER_SECOND, width=WIDTH, pace=pace, start_time=start_time
            ),
        )


def _site(number: int) -> str:
    return f"site-{number}"


def _name(site: int, number: int) -> str:
    return f"site-{site}-film-{number:02d}"


def record(folder: Path, rounds: int, *, sites: int = SITES, seconds: float = FILM_SECONDS) -> Load:
    """Make the films, photos and models in a folder."""
    length = None if seconds >= FILM_SECONDS else seconds
    films, photos = own_films(folder, length, count=sites + rounds - 1, last_is_unlit=True)
    first = datetime.now(UTC) - _AGO
    return Load(
        films=tuple(films),
        photos=photos,
        models=None if absent(*FACE_MODELS) else link_face_models(folder),
        rounds=rounds,
        first=first.replace(minute=0, second=0, microsecond=0),
        sites=sites,
    )

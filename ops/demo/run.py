"""The demo from one end to the other."""

import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from ops.demo import installation, report, scenario
from ops.demo.contact_sheet import write_sheet
from ops.demo.film import appearances, render, write_film
from ops.demo.portrait_sources import CAST, cut_out, portrait
from ops.demo.results import Found, read_found
from ops.demo.truth import Person, Truth, Verdict, compare
from ops.local_stack.postgres_user import discard, homes
from ops.terminal import progress_console
from sightline.models.packs import ModelPack, load_pack
from sightline.people.employees import Details
from sightline.people.enrol import enrol
from sightline.people.photos import look, read_photo
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.runtime.settings.sources import default_home
from sightline.storage import cameras
from sightline.storage.cameras import NewCamera
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sightline.storage.outbox import deliver

_PATIENCE = 3.0
"""Times the length of the films: a slow machine falls behind and has to catch up."""

_START_SECONDS = 120.0

_PREFIX = "sightline-demo-"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the demo is asked for; without videos it makes films of its own."""

    videos: tuple[Path, ...]
    photos: tuple[tuple[str, Path], ...]  # whom to enrol
    models: Path | None
    home: Path | None


@dataclass(frozen=True, slots=True)
class Play:
    """What is played: a film for each camera, who is enrolled, and the truth where it is known."""

    films: dict[str, Path]
    photos: tuple[tuple[str, Path], ...]
    truth: Truth | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    found: Found
    verdict: Verdict | None
    summary: dict[str, Any]
    home: Path

    @property
    def passed(self) -> bool:
        """Whether everybody was found for who they are, as far as that is known."""
        return self.verdict is None or self.verdict.passed


def checked_wish(
    videos: Sequence[Path], enrol: Sequence[str], models: Path | None, home: Path | None
) -> Wish:
    """What the command line asks for. Raises SightlineError when it cannot be done."""
    photos = []
    for given in enrol:
        name, found, photo = given.partition("=")
        if not (found and name.strip() and photo):
            raise SightlineError(f"--enrol {given[:80]!r}: give NAME=PHOTO")
        path = Path(photo).expanduser()
        if not path.is_file():
            raise SightlineError(f"--enrol: there is no photo {path}")
        photos.append((name.strip(), path))
    if models is not None and not models.is_dir():
        raise SightlineError(f"--models: there is no folder {models}")
    if home is not None and home.exists() and any(home.iterdir()):
        raise SightlineError(f"--home: {home} is not empty; the demo wants a folder of its own")
    for video in videos:
        if not video.is_file():
            raise SightlineError(f"--video: there is no film {video}")
    return Wish(tuple(videos), tuple(photos), models and models.resolve(), home)


def play(wish: Wish, *, monitoring: bool = False, secure: bool = False) -> Outcome:
    """Run the demo, where wanted with a Prometheus beside it, or on a stack that trusts nobody.

    Raises SightlineError with one line when it cannot run through.
    """
    _discard_earlier()
    home = (wish.home or Path(tempfile.mkdtemp(prefix=_PREFIX))).resolve()
    home.mkdir(parents=True, exist_ok=True)
    users_home = default_home()
    settings = installation.own_settings(home, wish.models)
    progress_console.print(f"the demo's own home is {home}")
    with ThreadPoolExecutor(1) as pool:
        making: Future[Play] = pool.submit(_given if wish.videos else _own_films, wish, home)
        if wish.videos:
            making.result()  # a film that cannot be read is told before anything is started
        installation.choose_pack(settings, users_home)
        pack = _load_pack(settings)
        for _name, photo in wish.photos:  # and so is a photo without a face
            look(read_photo(photo), pack, settings)
        with installation.running_stack(settings, monitoring=monitoring, secure=secure):
            return _run(settings, pack, making.result())


def _discard_earlier() -> None:
    """Remove what demos of root keep outside of their homes, once these are gone: from /tmp."""
    for home, _place in homes():
        made_here = home.parent == Path(tempfile.gettempdir()).resolve()
        if made_here and home.name.startswith(_PREFIX) and not home.exists():
            discard(home)


def _run(settings: Settings, pack: ModelPack, show: Play) -> Outcome:
    for name, photo in show.photos:
        enrol(settings, pack, name, [read_photo(photo)], Details())
        progress_console.print(f"enrolled {name}")
    deliver(settings)
    patience = _START_SECONDS + _PATIENCE * show.seconds
    with installation.running_services(settings, *installation.ALL_SERVICES) as services:
        installation.wait_until_ready(settings, services)
        _add_cameras(settings, show.films)
        progress_console.print(
            f"cameras: {', '.join(show.films)}; their films take {show.seconds:.0f} s"
        )
        installation.wait_until_through(settings, services, len(show.films), patience)
    with connect(settings) as db:
        found = read_found(settings, db)
    verdict = compare(show.truth, found.tracks) if show.truth else None
    sheet = settings.home / "contact-sheet.jpg"
    write_sheet(sheet, found, verdict, open_store(settings))
    summary = report.as_json(found, list(show.films), verdict)
    return Outcome(found, verdict, summary | {"contact_sheet": str(sheet)}, settings.home)


def _load_pack(settings: Settings) -> ModelPack:
    with progress_console.status("loading the models"):
        pack = load_pack(settings)
    progress_console.print(f"model pack {pack.id}")
    return pack


def _add_cameras(settings: Settings, films: dict[str, Path]) -> None:
    with connect(settings) as db:
        for name, film in films.items():
            cameras.add(db, cameras.checked(NewCamera, camera_id=name, uri=str(film)))


def _own_films(wish: Wish, home: Path) -> Play:
    """The two films of the cast, and photos of those who are enrolled."""
    scenes = scenario.scenes()
    cuts = {member.name: cut_out(member) for member in CAST}
    films = {scene.camera: home / f"{scene.camera}.mp4" for scene in scenes}
    for scene in scenes:
        write_film(films[scene.camera], render(scene, cuts))
    photos = []
    for member in CAST:
        if member.enrolled:
            photo = home / f"{member.name}.jpg"
            if not cv2.imwrite(str(photo), portrait(member)):
                raise SightlineError(f"{photo} cannot be written: is there space?")
            photos.append((member.name, photo))
    truth = Truth(
        people=tuple(Person(member.name, member.enrolled) for member in CAST),
        appearances=tuple(one for scene in scenes for one in appearances(scene, cuts)),
    )
    seconds = max(scene.seconds for scene in scenes)
    return Play(films, (*photos, *wish.photos), truth, seconds)


def _given(wish: Wish, home: Path) -> Play:  # noqa: ARG001 - as the function above
    """The given films, a camera each."""
    films: dict[str, Path] = {}
    seconds = 0.0
    for video in wish.videos:
        seconds = max(seconds, _length(video))
        films[_camera_name(video, films)] = video.resolve()
    return Play(films, wish.photos, None, seconds)


def _length(video: Path) -> float:
    """Seconds that a film takes. Raises SightlineError when it is none."""
    capture = cv2.VideoCapture(str(video))
    try:
        readable, _ = capture.read()
        if not readable:
            raise SightlineError(f"--video: {video} is not a film that can be read")
        fps = capture.get(cv2.CAP_PROP_FPS)
        return max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT) / fps) if fps > 0 else 0.0
    finally:
        capture.release()


def _camera_name(video: Path, taken: dict[str, Path]) -> str:
    """A camera's name made of the film's; none twice."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", video.stem).lstrip("._-")[:50] or "camera"
    numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(one for one in numbered if one not in taken)

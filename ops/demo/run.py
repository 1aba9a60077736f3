"""The demo from begin to end."""

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
from ops.demo.demo_persons import DEMO_PERSONS, cut_out, enrolment_photo
from ops.demo.film import appearances, render, write_film
from ops.demo.results import PipelineOutput, read_output
from ops.demo.truth import GroundTruth, Verdict, compare
from ops.local_stack.postgres_user import homes, remove_data_folders
from ops.terminal import progress_console
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import enrol
from sightline.people.photos import template_of_photo
from sightline.people.picture_files import read_photo
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.runtime.settings.sources import default_home
from sightline.storage import cameras
from sightline.storage.cameras import NewCamera
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sightline.storage.outbox import deliver

_TIME_LIMIT_FACTOR = 3.0
"""Time limit as a multiple of the films' length: a slow machine falls behind."""

_START_SECONDS = 120.0

_PREFIX = "sightline-demo-"


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """Options of the demo; without videos it makes films of its own."""

    videos: tuple[Path, ...]
    photos: tuple[tuple[str, Path], ...]  # name and photo of persons to enrol
    models: Path | None
    home: Path | None


@dataclass(frozen=True, slots=True)
class Material:
    """Films of the cameras, photos to enrol, and the ground truth if it is known."""

    films: dict[str, Path]
    photos: tuple[tuple[str, Path], ...]
    truth: GroundTruth | None
    seconds: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Result of the demo."""

    output: PipelineOutput
    verdict: Verdict | None
    summary: dict[str, Any]
    home: Path

    @property
    def passed(self) -> bool:
        """True if every person was identified correctly, as far as the truth is known."""
        return self.verdict is None or self.verdict.passed


def validated_request(
    videos: Sequence[Path], enrol: Sequence[str], models: Path | None, home: Path | None
) -> DemoRequest:
    """Validate the options of the command line. Raises SightlineError."""
    photos = []
    for assignment in enrol:
        name, separator, photo = assignment.partition("=")
        if not (separator and name.strip() and photo):
            raise SightlineError(f"--enrol {assignment[:80]!r}: give NAME=PHOTO")
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
    return DemoRequest(tuple(videos), tuple(photos), models and models.resolve(), home)


def play(request: DemoRequest, *, monitoring: bool = False, secure: bool = False) -> DemoResult:
    """Run the demo, optionally with a Prometheus, or on a secure stack.

    Raises SightlineError with one line if it cannot be completed.
    """
    _discard_earlier()
    home = (request.home or Path(tempfile.mkdtemp(prefix=_PREFIX))).resolve()
    home.mkdir(parents=True, exist_ok=True)
    users_home = default_home()
    settings = installation.own_settings(home, request.models)
    progress_console.print(f"the demo's own home is {home}")
    with ThreadPoolExecutor(1) as pool:
        films: Future[Material]
        if request.videos:
            films = pool.submit(_users_films, request)
            films.result()  # an unreadable film is reported before the stack is started
        else:
            films = pool.submit(_own_films, request, home)
        installation.choose_pack(settings, users_home)
        pack = _load_pack(settings)
        for _name, photo in request.photos:  # a photo without a face is reported then too
            template_of_photo(read_photo(photo), pack, settings)
        with installation.running_stack(settings, monitoring=monitoring, secure=secure):
            return _run(settings, pack, films.result())


def _discard_earlier() -> None:
    """Remove the data that root's demos keep outside of homes that are gone from /tmp."""
    for home, _place in homes():
        is_in_tmp = home.parent == Path(tempfile.gettempdir()).resolve()
        if is_in_tmp and home.name.startswith(_PREFIX) and not home.exists():
            remove_data_folders(home)


def _run(settings: Settings, pack: ModelPack, material: Material) -> DemoResult:
    for name, photo in material.photos:
        enrol(settings, pack, name, [read_photo(photo)], EmployeeProfile())
        progress_console.print(f"enrolled {name}")
    deliver(settings)
    time_limit = _START_SECONDS + _TIME_LIMIT_FACTOR * material.seconds
    with installation.running_services(settings, *installation.ALL_SERVICES) as services:
        installation.wait_until_ready(settings, services)
        _add_cameras(settings, material.films)
        progress_console.print(
            f"cameras: {', '.join(material.films)}; their films take {material.seconds:.0f} s"
        )
        installation.wait_until_complete(settings, services, len(material.films), time_limit)
    with connect(settings) as db:
        output = read_output(settings, db)
    verdict = compare(material.truth, output.tracks) if material.truth else None
    sheet = settings.home / "contact-sheet.jpg"
    write_sheet(sheet, output, verdict, open_store(settings))
    summary = report.as_json(output, list(material.films), verdict)
    return DemoResult(output, verdict, summary | {"contact_sheet": str(sheet)}, settings.home)


def _load_pack(settings: Settings) -> ModelPack:
    with progress_console.status("loading the models"):
        pack = load_pack(settings)
    progress_console.print(f"model pack {pack.id}")
    return pack


def _add_cameras(settings: Settings, films: dict[str, Path]) -> None:
    with connect(settings) as db:
        for name, film in films.items():
            cameras.add(db, cameras.validated(NewCamera, camera_id=name, uri=str(film)))


def _own_films(request: DemoRequest, home: Path) -> Material:
    """Make the two films of the cast, and photos of the enrolled members."""
    scenes = scenario.scenes()
    cuts = {member.name: cut_out(member) for member in DEMO_PERSONS}
    films = {scene.camera: home / f"{scene.camera}.mp4" for scene in scenes}
    for scene in scenes:
        write_film(films[scene.camera], render(scene, cuts))
    photos = []
    for member in DEMO_PERSONS:
        if member.enrolled:
            photo = home / f"{member.name}.jpg"
            if not cv2.imwrite(str(photo), enrolment_photo(member)):
                raise SightlineError(f"{photo} cannot be written: is there space?")
            photos.append((member.name, photo))
    truth = GroundTruth(
        DEMO_PERSONS,
        tuple(appearance for scene in scenes for appearance in appearances(scene, cuts)),
    )
    seconds = max(scene.seconds for scene in scenes)
    return Material(films, (*photos, *request.photos), truth, seconds)


def _users_films(request: DemoRequest) -> Material:
    """Return the user's films, a camera each."""
    films: dict[str, Path] = {}
    seconds = 0.0
    for video in request.videos:
        seconds = max(seconds, _film_seconds(video))
        films[_camera_name(video, films)] = video.resolve()
    return Material(films, request.photos, None, seconds)


def _film_seconds(video: Path) -> float:
    """Return the length of a film in seconds. Raises SightlineError if it cannot be read."""
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
    """Return a camera name made of the film's, distinct from `taken`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", video.stem).lstrip("._-")[:50] or "camera"
    numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in numbered if candidate not in taken)

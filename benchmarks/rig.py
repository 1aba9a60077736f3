"""A stack of the benchmark's own, thrown away afterwards."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from benchmarks.baseline import Photos
from ops.demo import installation
from ops.local_stack.postgres_user import remove_data_folders
from schemas import sightline_pb2 as pb
from schemas.topics import FACES
from sightline.models.packs import load_pack
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import enrol
from sightline.people.picture_files import read_photo
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import configure_logging
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.storage.db import connect
from sightline.storage.outbox import deliver
from sightline.streaming.topic_reader import read_topic


@contextmanager
def own_folder() -> Iterator[Path]:
    """Give a temporary folder that is removed at the end."""
    with tempfile.TemporaryDirectory(
        prefix="sightline-bench-", ignore_cleanup_errors=True
    ) as folder:
        try:
            yield Path(folder)
        finally:
            remove_data_folders(Path(folder))


@contextmanager
def own_stack(models: Path | None, photos: Photos, *, anyway: bool = False) -> Iterator[Settings]:
    """Run a new broker and database with people enrolled by all photos of their names.

    `anyway` accepts disagreeing photos of one person.
    """
    with own_folder() as home:
        settings = installation.own_settings(home, models)
        with installation.running_stack(settings):
            pack = load_pack(settings)
            for name, group in groupby(photos, key=itemgetter(0)):
                read_photos = [read_photo(path) for _, path in group]
                enrol(settings, pack, name, read_photos, EmployeeProfile(), force=anyway)
            deliver(settings)
            yield settings


def add_films(settings: Settings, films: Mapping[str, Path]) -> None:
    """Add films as cameras by name: every frame is published, as fast as possible."""
    how = CameraSettings(pace="fast", motion=False)
    add_cameras(
        settings,
        [NewCamera(camera_id=name, uri=str(film), settings=how) for name, film in films.items()],
    )


def embeddings_of(settings: Settings) -> int:
    """Count the observations in the topic `faces`: each is one embedding."""
    return sum(
        record.decode(pb.FaceEvent).HasField("observation")
        for record in read_topic(settings, FACES)
    )


def wait_for(condition: Callable[[], bool], seconds: float, poll_seconds: float = 0.05) -> bool:
    """Wait for a condition; return False if it does not come true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(poll_seconds)
    return True


def run_as_program(name: str, main: Callable[[], object]) -> None:
    """Run a benchmark; a reason why it cannot go on is one line on stderr, status 1."""
    configure_logging("WARNING", kafka=False)
    try:
        main()
    except SightlineError as error:
        sys.exit(f"{name}: {error}")


def add_cameras(settings: Settings, new_cameras: Sequence[NewCamera]) -> None:
    """Add cameras to the database."""
    with connect(settings) as db:
        for camera in new_cameras:
            cameras.add(db, camera)

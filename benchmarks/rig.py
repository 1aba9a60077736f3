"""A stack of the benchmark's own, thrown away afterwards."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from benchmarks.baseline import Photos
from ops.demo import installation
from ops.local_stack.postgres_user import discard
from sightline.models.packs import load_pack
from sightline.people.employees import Details
from sightline.people.enrol import enrol
from sightline.people.picture_files import read_photo
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import NewCamera
from sightline.storage.db import connect
from sightline.storage.outbox import deliver


@contextmanager
def own_folder() -> Iterator[Path]:
    """Give a temporary folder that is removed at the end."""
    with tempfile.TemporaryDirectory(
        prefix="sightline-bench-", ignore_cleanup_errors=True
    ) as folder:
        try:
            yield Path(folder)
        finally:
            discard(Path(folder))


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
                enrol(settings, pack, name, read_photos, Details(), anyway=anyway)
            deliver(settings)
            yield settings


def add_cameras(settings: Settings, new_cameras: Sequence[NewCamera]) -> None:
    """Add cameras to the database."""
    with connect(settings) as db:
        for camera in new_cameras:
            cameras.add(db, camera)

"""Back up and restore an installation: database, pictures, keys and configuration.

A backup leaves out what is recomputed or expires by itself (frames and faces in Kafka, models,
films that are still read) and what is kept apart on purpose: encryption keys that settings name.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from psycopg import sql

from ops.backup import backup_folder, dump
from ops.backup.backup_folder import BackupManifest
from ops.backup.employee_backup import publish_all
from ops.database.migrate import revisions
from ops.local_stack.process_registry import running_services
from sightline.runtime.clock import SystemClock, to_datetime
from sightline.runtime.errors import ConflictError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import NoSuchObjectError, open_raw_store
from sightline.storage.outbox import deliver

_HOME_FILES = ("config.yaml", "keys", "audit", "erasures")

_IN_USE_TABLES = ("access_logs", "visitor_logs", "employees", "detected_persons", "audit")
"""Tables whose rows mean that an installation is in use."""


def backup(settings: Settings, place: Path) -> BackupManifest:
    """Write everything that cannot be recomputed into a new folder, while all services run.

    The folder holds biometric data and keys: it is readable by its owner alone. Raises
    SightlineError.
    """
    with backup_folder.new_folder(place) as draft:
        # The order matters: the trail's noted end must not be past the trail's end in the database,
        # and a picture is stored before the row that names it: it is saved, or was deleted since.
        _save_home(settings.home, draft / backup_folder.HOME)
        revision, _newest = revisions(settings)
        dump.dump(settings, draft / backup_folder.DUMP)
        objects = _save_objects(settings, draft / backup_folder.OBJECTS)
        manifest = BackupManifest(
            made_at=to_datetime(SystemClock().now_us()).isoformat(),
            revision=revision or "",
            rows=sum(_row_counts(settings).values()),
            objects=objects,
        )
        backup_folder.save(draft, manifest)
    return manifest


def restore(settings: Settings, place: Path, *, replace: bool = False) -> BackupManifest:
    """Restore an installation from a backup; Kafka's readers receive everybody who is enrolled.

    Broker and database run, services do not. Raises SightlineError for a backup that is damaged or
    newer, and ConflictError if an installation is in use here, without `replace`.
    """
    manifest = backup_folder.verified(place)
    _refuse_services(settings)
    if not replace and any(_row_counts(settings).values()):
        raise ConflictError("there is an installation here already: --replace puts this in place")
    _restore_home(settings.home, place / backup_folder.HOME)
    dump.load(settings, place / backup_folder.DUMP)
    _restore_objects(settings, place / backup_folder.OBJECTS)
    publish_all(settings)
    deliver(settings)
    return manifest


def _refuse_services(settings: Settings) -> None:
    running = sorted({service.name for service in running_services(settings)})
    if running:
        raise SightlineError(f"stop the services first: {', '.join(running)}")


def _row_counts(settings: Settings) -> dict[str, int]:
    with connect(settings) as db:
        counted = {}
        for table in _IN_USE_TABLES:
            count = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table))
            row = db.execute(count).fetchone()
            counted[table] = int(row[0]) if row else 0
        return counted


def _save_home(home: Path, into: Path) -> None:
    into.mkdir(mode=0o700)
    for name in _HOME_FILES:
        source = home / name
        if source.is_dir():
            shutil.copytree(source, into / name)
        elif source.is_file():
            shutil.copy2(source, into / name)


def _restore_home(home: Path, source: Path) -> None:
    """Put back the files of the home; what stands in their place is moved aside.

    An existing configuration alone is left as it is: this very command runs with it.
    """
    moved_aside = home / f"replaced-{to_datetime(SystemClock().now_us()):%Y%m%dT%H%M%S}"
    for saved in sorted(source.iterdir()) if source.is_dir() else ():
        target = home / saved.name
        if target.is_file():
            continue
        if target.exists():
            moved_aside.mkdir(mode=0o700, exist_ok=True)
            target.rename(moved_aside / saved.name)
        if saved.is_dir():
            shutil.copytree(saved, target)
        else:
            shutil.copy2(saved, target)


def _save_objects(settings: Settings, into: Path) -> int:
    store, saved = open_raw_store(settings), 0
    into.mkdir(mode=0o700)
    for key in store.keys():  # noqa: SIM118 - a store is no dictionary
        with suppress(NoSuchObjectError):  # the object was renamed or deleted meanwhile
            data = store.get(key)
            path = into / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            saved += 1
    return saved


def _restore_objects(settings: Settings, source: Path) -> None:
    store = open_raw_store(settings)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            store.put(path.relative_to(source).as_posix(), path.read_bytes())

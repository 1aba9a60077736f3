"""`sightline backup` and `sightline restore`: an installation comes back whole, or not at all."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from ops.backup import backup_folder
from ops.backup.employee_backup import publish_all
from ops.backup.system_backup import backup, restore
from ops.database.migrate import upgrade
from ops.runs.tables import create_replaced, drop_any_schema
from schemas.naming import replaced_schema
from sightline.runtime.connection_urls import database_url, kafka_servers
from sightline.runtime.errors import ConflictError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import FolderStore, open_store
from sightline.storage.outbox import deliver
from tests.stack.commands_support import run
from tests.stack.people_support import gallery
from tests.stack.test_people_backup import enrolled

pytestmark = pytest.mark.stack

DATABASE = "restored_whole"
PICTURE = "known/whole-backup.jpg"
PROMOTION = 1_000_000
CHANGED = {"audit", "sink_offsets", "given_up", "outbox", "employees", "alembic_version"}
"""Tables that a restore writes itself, and those of Kafka's positions."""


@pytest.fixture
def other(stack: Settings, tmp_path: Path) -> Iterator[Settings]:
    """An installation of its own home and database, with the same Kafka."""
    with psycopg.connect(database_url(stack), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {DATABASE}")
        url = database_url(stack).replace("/sightline", f"/{DATABASE}")
        home = tmp_path / "home"
        (home / "objects").mkdir(parents=True)
        made = Settings(
            home=home,
            database_url=SecretStr(url),
            kafka_bootstrap_servers=kafka_servers(stack),
        )
        upgrade(made)
        yield made
        server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    # The gallery has heard of later revisions than the database knows of.
    publish_all(stack)
    deliver(stack)


def tables(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as text."""
    with connect(settings) as db:
        names = db.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        return {
            name: db.execute(f"SELECT t::text FROM {name} t ORDER BY 1").fetchall()
            for (name,) in names
        }


def test_everything_comes_back_elsewhere(stack: Settings, other: Settings, tmp_path: Path) -> None:
    ida = enrolled(stack, "Whole Ida", 21)
    with connect(stack, autocommit=True) as db:
        db.execute("INSERT INTO sink_offsets VALUES ('whole', 'tracks', 0, 7)")
        create_replaced(db.cursor(), PROMOTION)
    open_store(stack).put(PICTURE, b"a picture")
    place = tmp_path / "backup"
    try:
        run(stack, "backup", str(place))
        before, revision = tables(stack), gallery(stack)[ida].revision
        env = {
            "DATABASE_URL": database_url(other),
            "KAFKA_BOOTSTRAP_SERVERS": kafka_servers(stack),
        }
        run(other, "restore", str(place), **env)
        after = tables(other)
        assert after.keys() == before.keys()
        for table in before.keys() - CHANGED:
            assert after[table] == before[table], table
        assert after["sink_offsets"] == [], "sinks read again what this Kafka keeps"
        assert len(after["employees"]) == len(before["employees"])
        assert open_store(other).get(PICTURE) == b"a picture"
        assert list(open_store(other).keys()) == list(open_store(stack).keys())
        assert gallery(stack)[ida].revision > revision, "the matchers are told again"
        verified = run(other, "audit", "verify", **env)
        assert len(after["audit"]) > 0, verified
        with pytest.raises(ConflictError, match="--replace"):
            restore(other, place)
        restore(other, place, replace=True)
        assert tables(other).keys() == before.keys()
        wrong_ones_change_nothing(other, place)
    finally:
        with connect(stack, autocommit=True) as db:
            db.execute("DELETE FROM sink_offsets WHERE sink = 'whole'")
            db.execute("DELETE FROM employees WHERE name = 'Whole Ida'")
            drop_any_schema(db.cursor(), replaced_schema(PROMOTION))
        open_store(stack).delete(PICTURE)


def wrong_ones_change_nothing(other: Settings, place: Path) -> None:
    before = tables(other)

    def refused(said: str) -> None:
        with pytest.raises(SightlineError, match=said):
            restore(other, place, replace=True)

    dump = place / backup_folder.DUMP
    whole = dump.read_bytes()
    dump.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(r"damaged: database\.dump has changed")
    dump.write_bytes(whole)
    (place / "objects" / PICTURE).rename(place / "picture")
    refused("damaged: .*is not what was written")
    (place / "picture").rename(place / "objects" / PICTURE)
    (place / "checksums").rename(place / "sums")
    refused("is no backup")
    (place / "sums").rename(place / "checksums")
    assert tables(other) == before
    assert place.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(place)


def test_a_picture_that_goes_meanwhile_stops_no_backup(
    stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = FolderStore.keys

    def with_one_that_goes(store: FolderStore, prefix: str = "") -> Iterator[str]:
        yield "known/gone.jpg"
        yield from listed(store, prefix)

    open_store(stack).put(PICTURE, b"a picture")
    try:
        monkeypatch.setattr(FolderStore, "keys", with_one_that_goes)
        made = backup(stack, tmp_path / "backup")
        saved = [path for path in (tmp_path / "backup/objects").rglob("*") if path.is_file()]
        assert made.objects == len(saved) > 0
    finally:
        open_store(stack).delete(PICTURE)


def test_nothing_is_left_of_a_backup_that_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(SightlineError, match="pg_dump"),
        backup_folder.new_folder(tmp_path / "backup") as draft,
    ):
        (draft / "key").write_text("secret")
        raise SightlineError("pg_dump has failed")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(stack: Settings, tmp_path: Path) -> None:
    with (
        pytest.raises(SightlineError, match="is there already"),
        backup_folder.new_folder(tmp_path),
    ):
        pass
    with (
        pytest.raises(SightlineError, match="cannot be written"),
        backup_folder.new_folder(tmp_path / "no" / "where"),
    ):
        pass

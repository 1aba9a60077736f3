"""Where root's PostgreSQL has its data: real folders of a real system user, without a server."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ops.local_stack import postgres_user
from ops.local_stack.postgres_user import (
    SYSTEM_USER,
    copy_for_system_user,
    data_folder,
    homes,
    remove_data_folders,
    settle_data_folder,
    system_user,
)
from sightline.runtime.errors import SightlineError

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user for root alone"),
]

MEMORY = Path("/dev/shm")  # another disk than that of temporary files, on Linux


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of /var/lib/sightline-postgres."""
    assert system_user() == SYSTEM_USER
    monkeypatch.setattr(postgres_user, "DATA_ROOT", tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture(params=["same disk", "other disk"])
def entry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """`postgres` of a new home."""
    other = request.param == "other disk"
    if other and (not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev):
        pytest.skip("there is no other disk")
    with TemporaryDirectory(dir=MEMORY if other else tmp_path) as folder:
        yield Path(folder) / "postgres"


def earlier(entry: Path) -> None:
    """What an earlier version has left in a home."""
    data = entry / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18")
    for path in (data, data / "PG_VERSION"):
        shutil.chown(path, SYSTEM_USER, SYSTEM_USER)


def is_whole(entry: Path) -> bool:
    version = data_folder(entry) / "data" / "PG_VERSION"
    return version.read_text() == "18" and version.owner() == SYSTEM_USER


def test_a_new_home_leads_to_a_folder_of_its_own(entry: Path, place: Path) -> None:
    settle_data_folder(entry)
    folder = data_folder(entry)
    assert (entry.is_symlink(), folder.parent) == (True, place)
    assert list(homes()) == [(entry.parent, folder)]
    settle_data_folder(entry)
    assert data_folder(entry) == folder


def test_data_of_an_earlier_version_move(entry: Path, place: Path) -> None:
    earlier(entry)
    settle_data_folder(entry)
    assert is_whole(entry)
    assert data_folder(entry).parent == place
    assert list(entry.parent.iterdir()) == [entry]


@pytest.mark.parametrize("step", range(4))
def test_who_is_interrupted_goes_on_and_loses_nothing(
    entry: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    earlier(entry)
    steps = iter(range(100))
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise OSError(errno.EIO, "interrupted")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        try:
            settle_data_folder(entry)
        except SightlineError as error:
            assert "interrupted" in str(error)  # on the same disk there are fewer steps
    settle_data_folder(entry)
    assert is_whole(entry)
    assert list(entry.parent.iterdir()) == [entry]


def test_a_moved_home_keeps_its_data_and_a_copied_one_is_refused(
    entry: Path, tmp_path: Path
) -> None:
    earlier(entry)
    settle_data_folder(entry)
    moved, copied = tmp_path / "moved", tmp_path / "copied"
    shutil.move(entry.parent, moved)
    settle_data_folder(moved / "postgres")
    assert is_whole(moved / "postgres")
    shutil.copytree(moved, copied, symlinks=True)
    with pytest.raises(SightlineError, match=f"the database of the home {moved}, of which"):
        settle_data_folder(copied / "postgres")
    assert data_folder(copied / "postgres") == copied / "postgres"  # whose server is not its own
    entry.parent.mkdir()


def test_a_home_whose_data_are_gone_gets_no_empty_ones(entry: Path) -> None:
    settle_data_folder(entry)
    remove_data_folders(entry.parent)
    with pytest.raises(SightlineError, match="is missing"):
        settle_data_folder(entry)


def test_data_of_another_user_stay_where_they_are(entry: Path) -> None:
    (entry / "data").mkdir(parents=True)
    with pytest.raises(SightlineError, match="run this as its owner"):
        settle_data_folder(entry)
    assert (entry / "data").is_dir()


def test_programs_are_copied_once_with_rights_for_the_system_user(
    tmp_path: Path, place: Path
) -> None:
    (tmp_path / "server" / "bin").mkdir(parents=True, mode=0o700)
    program, text = tmp_path / "server" / "bin" / "postgres", tmp_path / "server" / "README"
    for path, mode in ((program, 0o700), (text, 0o600)):
        path.write_text("it")
        path.chmod(mode)
    copy = copy_for_system_user("18", tmp_path, ["server"])
    assert copy == place / "server-18"
    found = {
        path.name: (path.group(), oct(path.stat().st_mode & 0o777)) for path in copy.rglob("*")
    }
    assert found == {
        "server": (SYSTEM_USER, "0o750"), "bin": (SYSTEM_USER, "0o750"),
        "postgres": (SYSTEM_USER, "0o750"), "README": (SYSTEM_USER, "0o640"),
    }  # fmt: skip
    text.write_text("another")
    assert (
        copy_for_system_user("18", tmp_path, ["server"]) / "server" / "README"
    ).read_text() == "it"
    assert oct(program.stat().st_mode & 0o777) == "0o700"

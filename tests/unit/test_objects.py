"""Objects keep to their folder, names keep apart, a full disk says so."""

import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from schemas.naming import safe_name
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.storage.objects import FolderStore, S3Store

NAMES = st.one_of(
    st.text(max_size=300),
    st.text(alphabet=" _-aAé\u0301/.\ud800", max_size=6),
)


@given(NAMES)
def test_a_safe_name_is_one_short_part_of_a_key(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe.encode()) <= 140
    assert unicodedata.is_normalized("NFC", safe)
    assert all(char in "_-" or unicodedata.category(char)[0] in "LMN" for char in safe)


@given(NAMES, NAMES)
def test_two_names_never_share_a_key(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(NAMES)
def test_no_name_can_look_like_the_safe_form_of_another(name: str) -> None:
    safe = safe_name(name)
    assert safe == name or safe_name(safe) != safe


def test_names_stay_readable() -> None:
    assert safe_name("Joe Biden") == "Joe_Biden"
    assert safe_name("Zoë 2") == "Zoë_2"
    assert safe_name("मीरा") == "मीरा"
    assert safe_name("Lin-Manuel Miranda").startswith("Lin_Manuel_Miranda-")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a/./b",
        ".hidden",
        "a\0b",
        "a\\b",
        "x" * 2000,
    ],
)
def test_a_key_that_leaves_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    store = FolderStore(tmp_path / "objects")
    for use in (store.get, store.delete, store.location, lambda it: store.put(it, b"x")):
        with pytest.raises(SightlineError):
            use(key)
    assert not (tmp_path / "objects").exists()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(SightlineError):
        FolderStore(root).put("out/x.jpg", b"x")
    assert not (tmp_path / "x.jpg").exists()


def test_a_folder_keeps_objects_for_its_owner_alone(tmp_path: Path) -> None:
    root = tmp_path / "home" / "objects"
    store = FolderStore(root)
    assert list(store.keys()) == []
    store.put("known/Zoë_1.jpg", b"first")
    store.put("known/Zoë_1.jpg", b"second")
    store.put("unknown/2026-11-21/1.jpg", b"x")
    assert store.get("known/Zoë_1.jpg") == b"second"
    assert list(store.keys()) == ["known/Zoë_1.jpg", "unknown/2026-11-21/1.jpg"]
    assert list(store.keys("known/Z")) == ["known/Zoë_1.jpg"]
    assert Path(store.location("known/Zoë_1.jpg")).read_bytes() == b"second"
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in root.rglob("*")}
    assert modes == {True: 0o700, False: 0o600}
    assert root.stat().st_mode & 0o777 == 0o700
    store.delete("known/Zoë_1.jpg")
    store.delete("known/Zoë_1.jpg")
    with pytest.raises(SightlineError, match="no object"):
        store.get("known/Zoë_1.jpg")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_file(tiny_disk: Path) -> None:
    store = FolderStore(tiny_disk)
    store.put("a.jpg", b"old")
    with pytest.raises(InfrastructureError, match="free some space") as caught:
        store.put("a.jpg", b"x" * 100_000)
    assert "\n" not in str(caught.value)
    assert store.get("a.jpg") == b"old"
    assert [path.name for path in tiny_disk.iterdir()] == ["a.jpg"]


def test_a_folder_says_which_files_it_could_not_delete(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a.jpg", b"x")
    (tmp_path / "dir.jpg").mkdir()
    failed = store.delete_all(["a.jpg", "gone.jpg", "dir.jpg", "../x"])
    assert failed.keys() == {"dir.jpg", "../x"}
    assert "Is a directory" in failed["dir.jpg"]
    assert list(store.keys()) == []


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3Store, Stubber]]:
    """A bucket whose answers are written by the test."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = S3Store("pictures", "one")
    with Stubber(store._client) as stubber:
        yield store, stubber


def test_a_bucket_says_which_objects_it_could_not_delete(bucket: tuple[S3Store, Stubber]) -> None:
    store, stubber = bucket
    denied = {"Key": "one/b.jpg", "Code": "AccessDenied", "Message": "Access Denied"}
    stubber.add_response("delete_objects", {"Errors": [denied]})
    failed = store.delete_all(["a.jpg", "b.jpg"])
    assert failed == {"b.jpg": "S3, delete s3://pictures/one/b.jpg: AccessDenied: Access Denied"}


@pytest.mark.parametrize(("code", "status"), [("NotImplemented", 501), ("MissingContentMD5", 400)])
def test_a_server_that_takes_one_at_a_time_is_asked_so(
    bucket: tuple[S3Store, Stubber], code: str, status: int
) -> None:
    store, stubber = bucket
    stubber.add_client_error("delete_objects", code, http_status_code=status)
    stubber.add_response("delete_object", {})
    stubber.add_client_error("delete_object", "AccessDenied", http_status_code=403)
    assert store.delete_all(["a.jpg", "b.jpg"]).keys() == {"b.jpg"}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_fails_as_a_whole_counts_against_no_object(
    bucket: tuple[S3Store, Stubber], status: int
) -> None:
    store, stubber = bucket
    stubber.add_client_error("delete_objects", "SlowDown", http_status_code=status)
    with pytest.raises(InfrastructureError, match="delete 2 objects of s3://pictures/one/"):
        store.delete_all(["a.jpg", "b.jpg"])

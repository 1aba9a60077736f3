"""What is sealed opens with its key, under its name, unchanged; and not otherwise."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from sightline.runtime.errors import SightlineError, UnreachableError
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EncryptionSettings
from sightline.storage.encryption import (
    HEAD_BYTES,
    OVERHEAD,
    Encryption,
    MissingKeyError,
    TamperedError,
    is_encrypted,
    key_id_of,
    new_key,
    read_keys,
)

KEY, OTHER = new_key(), new_key()


def sealing(*keys: str, required: bool = False) -> Encryption:
    given = SecretStr(",".join(keys)) if keys else None
    return Encryption(Settings(encryption=EncryptionSettings(keys=given, required=required)))


@given(st.binary(max_size=300), st.text(max_size=40))
def test_it_comes_back_and_is_never_sealed_twice_alike(data: bytes, name: str) -> None:
    ring = read_keys(KEY)
    one, other = ring.encrypt(data, name), ring.encrypt(data, name)
    assert one[:HEAD_BYTES] != other[:HEAD_BYTES]
    assert len(one) == len(data) + OVERHEAD
    assert len(data) < 8 or data not in one[HEAD_BYTES:]
    assert ring.decrypt(one, name) == ring.decrypt(other, name) == data


@pytest.mark.slow
@given(st.binary(max_size=60), st.data())
def test_no_bit_can_be_changed(data: bytes, more: st.DataObject) -> None:
    sealed = bytearray(read_keys(KEY).encrypt(data, "a/b"))
    at = more.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[at // 8] ^= 1 << at % 8
    changed = bytes(sealed)
    if is_encrypted(changed):
        with pytest.raises((TamperedError, MissingKeyError)):
            sealing(KEY).decrypt(changed, "a/b")
    else:
        with pytest.raises(TamperedError):
            sealing(KEY, required=True).decrypt(changed, "a/b")


@pytest.mark.parametrize("cut", [HEAD_BYTES, HEAD_BYTES + 5, -1])
def test_what_is_cut_off_or_moved_is_refused(cut: int) -> None:
    sealed = read_keys(KEY).encrypt(b"a face", "rows/1/face")
    for data, name in ((sealed[:cut], "rows/1/face"), (sealed, "rows/2/face")):
        with pytest.raises(TamperedError) as caught:
            sealing(KEY).decrypt(data, name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_first_key_seals_and_the_others_open() -> None:
    old = sealing(KEY).encrypt(b"x", "n")
    both = sealing(OTHER, KEY)
    assert both.decrypt(old, "n") == b"x"
    assert key_id_of(both.encrypt(b"x", "n")).hex() == read_keys(OTHER).ids[0]
    with pytest.raises(MissingKeyError, match=read_keys(KEY).ids[0]) as caught:
        sealing(OTHER).decrypt(old, "n")
    assert isinstance(caught.value, UnreachableError), "a sink waits for it"


def test_without_keys_nothing_is_sealed_and_what_is_does_not_open() -> None:
    off = sealing()
    assert off.encrypt(b"x", "n") == b"x"
    assert off.decrypt(b"x", "n") == b"x"
    with pytest.raises(MissingKeyError, match=r"encryption\.keys"):
        off.decrypt(sealing(KEY).encrypt(b"x", "n"), "n")


def test_where_encryption_is_required_there_have_to_be_keys_and_nothing_plain() -> None:
    with pytest.raises(SightlineError, match=r"encryption\.required"):
        sealing(required=True).encrypt(b"x", "n")
    with pytest.raises(TamperedError, match="not encrypted"):
        sealing(KEY, required=True).decrypt(b"x", "n")


@pytest.mark.parametrize(
    "given",
    ["", " , ", "secret-word", KEY[:-4], KEY + "," + KEY[4:], "é" * 44],
    ids=["empty", "commas", "a word", "cut off", "one is short", "no base64"],
)
def test_what_is_no_key_is_one_line_that_does_not_tell_it(given: str) -> None:
    with pytest.raises(SightlineError, match=r"encryption\.keys") as caught:
        read_keys(given)
    assert "\n" not in str(caught.value)
    assert "secret-word" not in str(caught.value)
    assert KEY[:8] not in str(caught.value)


def test_a_key_is_the_same_in_both_alphabets_of_base64() -> None:
    standard = KEY.replace("-", "+").replace("_", "/")
    assert read_keys(standard).ids == read_keys(f" {KEY}\n").ids


def test_a_key_may_be_in_a_file_and_change_there(tmp_path: Path) -> None:
    place = tmp_path / "keys"
    place.write_text(KEY + "\n")
    one = sealing(f"file:{place}")
    before = one.encrypt(b"x", "n")
    place.write_text(f"{OTHER},{KEY}\n")
    after = one.encrypt(b"x", "n")
    assert key_id_of(before) != key_id_of(after)
    assert one.decrypt(before, "n") == one.decrypt(after, "n") == b"x"

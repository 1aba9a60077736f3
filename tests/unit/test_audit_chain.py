"""Whoever changes, removes or inserts a line of the trail is found out, also at its end."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sightline.audit.chain import GENESIS_HASH, Entry, Head, Line, find_flaws, line_hash
from sightline.audit.keys import SigningKey, TrustedKeys

KEY = SigningKey(Ed25519PrivateKey.generate())
FORGER = SigningKey(Ed25519PrivateKey.generate())
OURS = TrustedKeys([KEY.public])


def said(number: int) -> Entry:
    return Entry(
        at=datetime(2026, 11, 21, 10, 0, number, 123, UTC), actor_kind="user", actor_id="u1",
        actor_name="Zoë", role="guard", address="192.0.2.7", action="persons.show",
        about={"persons": [number, 17], "camera": "door"}, purpose="a visit", outcome="done",
    )  # fmt: skip


def line(number: int, previous: bytes, what: Entry | None = None, key: SigningKey = KEY) -> Line:
    told = what or said(number)
    digest = line_hash(number, told, previous)
    return Line(number, told, previous, digest, key.key_id, key.sign(digest))


def trail(count: int = 6) -> list[Line]:
    lines: list[Line] = []
    for number in range(1, count + 1):
        lines.append(line(number, lines[-1].hash if lines else GENESIS_HASH))
    return lines


def head(lines: Sequence[Line]) -> Head:
    return Head(lines[-1].line, lines[-1].hash)


def found(lines: Sequence[Line], *heads: Head) -> list[tuple[int, str]]:
    return [(flaw.line, flaw.kind) for flaw in find_flaws(lines, heads, OURS)]


def test_a_trail_that_nobody_has_touched_has_no_flaws() -> None:
    whole = trail()
    assert found(whole, head(whole), head(whole[:3])) == []
    assert found([]) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, action="persons.list"),
        lambda one: replace(one, about={"persons": [18], "camera": "door"}),
        lambda one: replace(one, actor_id="u2"),
        lambda one: replace(one, purpose=None),
        lambda one: replace(one, address=None),
        lambda one: replace(one, outcome="refused"),
        lambda one: replace(one, at=one.at.replace(microsecond=124)),
    ],
)
@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_changed_line_is_found(place: int, change: Callable[[Entry], Entry]) -> None:
    lines = trail()
    lines[place] = replace(lines[place], entry=change(lines[place].entry))
    assert found(lines) == [(place + 1, "changed")]


@pytest.mark.parametrize("place", [0, 3])
def test_a_removed_line_is_found(place: int) -> None:
    lines = trail()
    del lines[place]
    assert found(lines) == [(place + 1, "removed")]


def test_a_removed_line_is_found_though_the_others_are_numbered_anew() -> None:
    lines = trail()
    del lines[3]
    anew = [replace(one, line=number) for number, one in enumerate(lines, 1)]
    assert (4, "inserted") in found(anew)


def test_lines_cut_off_the_end_are_found_by_the_head() -> None:
    lines = trail()
    assert found(lines[:4], head(lines)) == [(5, "removed")]
    assert found([], head(lines)) == [(1, "removed")]


def test_an_inserted_line_is_found_in_the_middle_and_at_the_end() -> None:
    lines = trail()
    forged = line(7, lines[-1].hash, said(30), key=FORGER)
    assert found([*lines, forged]) == [(7, "forged")]
    unsigned = replace(forged, key_id=KEY.key_id)
    assert found([*lines, unsigned]) == [(7, "forged")]
    middle = [*lines[:3], line(4, lines[2].hash, said(30), key=FORGER)]
    middle += [replace(one, line=one.line + 1) for one in lines[3:]]
    assert {(4, "forged"), (5, "inserted")} <= set(found(middle))


def test_a_tail_written_anew_does_not_fit_the_heads() -> None:
    lines = trail()
    anew = lines[:4]
    for number in (5, 6, 7):  # by somebody who has the key
        anew.append(line(number, anew[-1].hash, said(number + 20)))
    assert found(anew) == []
    assert found(anew, head(lines)) == [(6, "replaced")]

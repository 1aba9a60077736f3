"""Which fault comes when: dealt by a seed, so that a round can be had again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chaos.rig import CAMERAS, DATABASE, OBJECTS, broker_name
from sightline.runtime.fault_injection import Place

KILL, TERM, STOP = "SIGKILL", "SIGTERM", "SIGSTOP"
SIGNALS = (KILL, TERM, STOP)
CUT, REFUSED, SILENT = "connections cut", "connections refused", "connections silent"
FULL = "disk full"
SCALE = "1 to 3 to 1"

SINKS = ("access-log", "visitor-log", "snapshots", "person-state")
WORKERS = {"cameras": 1, "vision": 2, "match": 1, **dict.fromkeys(SINKS, 1), "api": 1}
"""How many of each service there are."""

_SLOTS = tuple(f"{service}-{number}" for service, count in WORKERS.items()
               for number in range(1, count + 1))  # fmt: skip

_OF_TRANSACTIONS = (
    Place.BEFORE_PRODUCE, Place.BEFORE_STATE, Place.BEFORE_COMMIT, Place.AFTER_COMMIT,
    Place.IN_RECOVERY,
)  # fmt: skip

PLACES: dict[str, tuple[Place, ...]] = {
    "cameras": _OF_TRANSACTIONS,
    "vision": _OF_TRANSACTIONS,
    "match": (
        Place.BEFORE_PRODUCE, Place.BEFORE_STATE, Place.BEFORE_COMMIT, Place.IN_RECOVERY,
    ),
    **dict.fromkeys(
        SINKS,
        (Place.BEFORE_OFFSET, Place.BEFORE_COMMIT, Place.AFTER_COMMIT, Place.IN_RECOVERY),
    ),
}  # fmt: skip
"""Where the code names places to die at."""

SHORT = (
    ("cameras-1", KILL), ("vision-1", KILL), ("vision-2", str(Place.BEFORE_COMMIT)),
    ("match-1", KILL), ("person-state-1", str(Place.BEFORE_OFFSET)), ("database", KILL),
)  # fmt: skip
"""What a short round consists of."""

STOPPED_SECONDS = 8.0
"""Longer than the session time-out of 6 s."""

_SECONDS = {
    STOP: STOPPED_SECONDS, REFUSED: 5.0, SILENT: STOPPED_SECONDS, FULL: 6.0, SCALE: 30.0,
}  # fmt: skip

_REST_SECONDS = {"workers": 12.0, "brokers": 20.0, "database": 15.0, "disks": 5.0}
"""After a fault its target is left alone for so long; brokers together, as they stand in for each
other, and of three no two may be away."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to whom."""

    at: float  # seconds from the beginning
    target: str  # a place for a process, a broker, the database, a disk's owner
    how: str  # a signal's name, a Place, or one of the above
    seconds: float  # until it is over; 0 at once

    @property
    def group(self) -> str:
        """Whose rest it disturbs."""
        return group_of(self.target, self.how)


def group_of(target: str, how: str) -> str:
    """Targets of one group are not hit together."""
    if target.startswith("broker-"):
        return "brokers"
    if target == DATABASE:
        return "database"
    if how == SCALE or target.startswith("vision-"):
        return target if how != SCALE else "vision"
    return f"disk of {target}" if how == FULL else target


def menu(brokers: int, *, disks: bool, chance: random.Random) -> list[tuple[str, str]]:
    """Everything that is to happen once at least."""
    nodes = [broker_name(number) for number in range(1, brokers + 1)]
    dishes = [(slot, how) for slot in _SLOTS for how in SIGNALS]
    dishes += [(f"{service}-1", str(place)) for service, places in PLACES.items()
               for place in places]  # fmt: skip
    dishes += [(node, how) for node in nodes for how in SIGNALS]
    dishes += [(chance.choice(nodes), how) for how in (CUT, REFUSED, SILENT)]
    dishes += [(DATABASE, how) for how in (*SIGNALS, CUT, REFUSED, SILENT)]
    dishes.append(("vision", SCALE))
    if disks:
        dishes += [(name, FULL) for name in (chance.choice(nodes), DATABASE, OBJECTS, CAMERAS)]
    return dishes


def deal(
    seed: int,
    faults: int,
    pause: float,
    *,
    brokers: int,
    disks: bool,
    only: Sequence[tuple[str, str]] | None = None,
) -> list[Fault]:
    """So many faults, one each `pause` seconds, none on a target that has not had its rest.

    Each kind comes once before any comes again; then the workers are hit again, by signals.
    """  # fmt: skip
    chance = random.Random(seed)
    dishes = list(only) if only is not None else menu(brokers, disks=disks, chance=chance)
    again = [(target, how) for target, how in dishes
             if how in (KILL, TERM) and target in _SLOTS]  # fmt: skip
    chance.shuffle(dishes)
    while len(dishes) < faults:
        dishes.append(chance.choice(again or dishes))
    dishes = dishes[:faults]
    dealt: list[Fault] = []
    rested: dict[str, float] = {}
    at = 0.0
    while dishes:
        at += pause * chance.uniform(0.6, 1.4)
        free = [one for one in dishes if _rested_at(rested, *one) <= at]
        if not free:
            continue
        target, how = free[0]
        dishes.remove(free[0])
        fault = Fault(at, target, how, _SECONDS.get(how, 0.0))
        rested[fault.group] = at + fault.seconds + _rest(fault.group)
        dealt.append(fault)
    return dealt


def _rested_at(rested: dict[str, float], target: str, how: str) -> float:
    group = group_of(target, how)
    if group == "vision":  # all of its places at once
        return max((at for name, at in rested.items() if name.startswith("vision")), default=0.0)
    known = [rested.get(group, 0.0)]
    if group.startswith("vision-"):
        known.append(rested.get("vision", 0.0))
    return max(known)


def _rest(group: str) -> float:
    if group.startswith("disk of"):
        return _REST_SECONDS["disks"]
    return _REST_SECONDS.get(group, _REST_SECONDS["workers"])

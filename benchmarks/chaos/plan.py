"""Plan of faults, drawn from a seed, so that a round can be repeated."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sightline.runtime.fault_injection import FaultPoint

DATABASE, OBJECTS, CAMERAS = "database", "objects", "cameras"

KILL, TERM, STOP = "SIGKILL", "SIGTERM", "SIGSTOP"
SIGNALS = (KILL, TERM, STOP)
CUT, REFUSED, SILENT = "connections cut", "connections refused", "connections silent"
FULL = "disk full"
SCALE = "1 to 3 to 1"

SINKS = ("access-log", "visitor-log", "snapshots", "person-state")
WORKERS = {"cameras": 1, "vision": 2, "match": 1, **dict.fromkeys(SINKS, 1), "api": 1}
"""Number of processes by service."""

_SLOTS = tuple(f"{service}-{number}" for service, count in WORKERS.items()
               for number in range(1, count + 1))  # fmt: skip

_AT_COMMIT = (FaultPoint.BEFORE_COMMIT, FaultPoint.AFTER_COMMIT, FaultPoint.IN_RECOVERY)
_OF_OUTPUTS = (FaultPoint.BEFORE_PRODUCE, FaultPoint.BEFORE_STATE)

PLACES: dict[str, tuple[FaultPoint, ...]] = {
    "cameras": (*_OF_OUTPUTS, *_AT_COMMIT),
    "vision": (*_OF_OUTPUTS, *_AT_COMMIT),
    "match": (*_OF_OUTPUTS, FaultPoint.BEFORE_COMMIT, FaultPoint.IN_RECOVERY),
    **dict.fromkeys(SINKS, (FaultPoint.BEFORE_OFFSET, *_AT_COMMIT)),
}
"""Fault points in the code by service."""

SHORT = (
    ("cameras-1", KILL), ("vision-1", KILL), ("vision-2", str(FaultPoint.BEFORE_COMMIT)),
    ("match-1", KILL), ("person-state-1", str(FaultPoint.BEFORE_OFFSET)), ("database", KILL),
)  # fmt: skip
"""Faults of a short round."""

STOPPED_SECONDS = 8.0
"""Longer than the session time-out of 6 s."""

_DURATION_SECONDS = {
    STOP: STOPPED_SECONDS, REFUSED: 5.0, SILENT: STOPPED_SECONDS, FULL: 6.0, SCALE: 30.0,
}  # fmt: skip

_REST_SECONDS = {"workers": 12.0, "brokers": 20.0, "database": 15.0, "disks": 5.0}
"""Pause of a target after a fault; brokers pause together, as they replace each other, and no two
of three may be away."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with its time and target."""

    at: float  # seconds from the beginning
    target: str  # a place for a process, a broker, the database, a disk's owner
    how: str  # a signal's name, a Place, or one of the above
    seconds: float  # until it is over; 0 at once

    @property
    def group(self) -> str:
        """Group of targets that pause together."""
        return group_of(self.target, self.how)


def broker_name(node: int) -> str:
    """Return a broker's name as a target."""
    return f"broker-{node}"


def group_of(target: str, how: str) -> str:
    """Return the group of a target; targets of one group are not hit together."""
    if target.startswith("broker-"):
        return "brokers"
    if target == DATABASE:
        return "database"
    if how == SCALE or target.startswith("vision-"):
        return target if how != SCALE else "vision"
    return f"disk of {target}" if how == FULL else target


def menu(brokers: int, *, disks: bool, chance: random.Random) -> list[tuple[str, str]]:
    """Return all faults that are to happen at least once."""
    nodes = [broker_name(number) for number in range(1, brokers + 1)]
    choices = [(slot, how) for slot in _SLOTS for how in SIGNALS]
    choices += [(f"{service}-1", str(place)) for service, places in PLACES.items()
               for place in places]  # fmt: skip
    choices += [(node, how) for node in nodes for how in SIGNALS]
    choices += [(chance.choice(nodes), how) for how in (CUT, REFUSED, SILENT)]
    choices += [(DATABASE, how) for how in (*SIGNALS, CUT, REFUSED, SILENT)]
    choices.append(("vision", SCALE))
    if disks:
        choices += [(name, FULL) for name in (chance.choice(nodes), DATABASE, OBJECTS, CAMERAS)]
    return choices


def deal(
    seed: int,
    faults: int,
    pause: float,
    *,
    brokers: int,
    disks: bool,
    only: Sequence[tuple[str, str]] | None = None,
) -> list[Fault]:
    """Draw faults, one each `pause` seconds on average, none on a target that still pauses.

    Each kind comes once before any is repeated; then signals to workers are repeated.
    """  # fmt: skip
    chance = random.Random(seed)
    choices = list(only) if only is not None else menu(brokers, disks=disks, chance=chance)
    repeatable = [(target, how) for target, how in choices
             if how in (KILL, TERM) and target in _SLOTS]  # fmt: skip
    chance.shuffle(choices)
    while len(choices) < faults:
        choices.append(chance.choice(repeatable or choices))
    choices = choices[:faults]
    dealt: list[Fault] = []
    rested: dict[str, float] = {}
    at = 0.0
    while choices:
        at += pause * chance.uniform(0.6, 1.4)
        free = [choice for choice in choices if _rested_at(rested, *choice) <= at]
        if not free:
            continue
        target, how = free[0]
        choices.remove(free[0])
        fault = Fault(at, target, how, _DURATION_SECONDS.get(how, 0.0))
        rested[fault.group] = at + fault.seconds + _rest(fault.group)
        dealt.append(fault)
    return dealt


def _rested_at(rested: dict[str, float], target: str, how: str) -> float:
    group = group_of(target, how)
    if group == "vision":  # all of its processes
        return max((at for name, at in rested.items() if name.startswith("vision")), default=0.0)
    times = [rested.get(group, 0.0)]
    if group.startswith("vision-"):
        times.append(rested.get("vision", 0.0))
    return max(times)


def _rest(group: str) -> float:
    if group.startswith("disk of"):
        return _REST_SECONDS["disks"]
    return _REST_SECONDS.get(group, _REST_SECONDS["workers"])

"""Facts of the topic `facts`: calibrations, walking times, corrections."""

import logging

from processors.match.reference.identity_corrections import AffectedIdentities, IdentityCorrections
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.naming import parse_fact_key
from sightline.identity.calibration import Calibration, builtin_calibration
from sightline.identity.scale import ScoreScale
from sightline.runtime.clock import US_PER_SECOND

log = logging.getLogger(__name__)

_ROUNDING = 1 + 1e-9
"""Factor by which a rate that is multiplied and divided again stays at least as large."""

_MAX_FALSE_MATCH_RATE = 0.5
"""Highest rate of tracks that may get the id of another unknown person."""


class Facts:
    """Facts in force."""

    def __init__(self) -> None:
        self.corrections = IdentityCorrections()
        self._calibrations: dict[str, Calibration] = {}
        self._walking_seconds: dict[tuple[str, str], float] = {}

    def put(self, key: bytes, value: bytes | None) -> AffectedIdentities:
        """Apply a record of the topic; return the people and tracks that it may affect.

        Raises:
            InvalidMessageError: A record that cannot be read; nothing is changed.
        """
        if value is None:
            return self._remove(key.decode(errors="replace"))
        fact = decode(pb.Fact, value)
        match fact.WhichOneof("fact"):
            case "calibration":
                self._calibrations[fact.calibration.pack] = _calibration(fact.calibration)
            case "walking_time":
                walk = fact.walking_time
                self._walking_seconds[_pair(walk.camera_a, walk.camera_b)] = walk.seconds
            case "track":
                return self.corrections.set_track(fact.track.track_id, fact.track)
            case "person":
                return self.corrections.set_person(fact.person.global_id, fact.person)
        return AffectedIdentities()

    def min_agreement(self, pack: str) -> float:
        """Return the lowest cosine between two observations of one person, by a pack."""
        return self._calibration_of(pack).agree

    def scale(self, pack: str, people: int, target_rate: float) -> ScoreScale:
        """Return the scale of scores in a search among a number of enrolled people."""
        return self._calibration_of(pack).scale(people, target_rate)

    def scale_of_ids(self, pack: str, people: int, target_rate: float) -> ScoreScale:
        """Return the scale of scores in a search among a number of unknown persons.

        Their ids are no names: where the calibration cannot promise the rate, the lowest rate that
        it can promise takes its place.
        """
        calibration = self._calibration_of(pack)
        limit = int(_MAX_FALSE_MATCH_RATE / (calibration.min_supported_rate * _ROUNDING))
        people = min(max(people, 1), limit)
        lowest = calibration.min_supported_rate * people * _ROUNDING
        return calibration.scale(people, max(target_rate, lowest))

    def walking_us(self, camera: str, other: str) -> int:
        """Return the least time between two cameras in microseconds; 0 where none is set."""
        return round(self._walking_seconds.get(_pair(camera, other), 0.0) * US_PER_SECOND)

    def _calibration_of(self, pack: str) -> Calibration:
        return self._calibrations.get(pack) or builtin_calibration(pack)

    def _remove(self, key: str) -> AffectedIdentities:
        kind, subject, other = parse_fact_key(key)
        match kind:
            case "calibration":
                self._calibrations.pop(subject, None)
            case "walking":
                self._walking_seconds.pop(_pair(subject, other), None)
            case "track":
                return self.corrections.set_track(subject, None)
            case "person" if subject.isdecimal():
                return self.corrections.set_person(int(subject), None)
            case _:
                raise InvalidMessageError("bad_id", f"no fact is called {key[:80]!r}")
        return AffectedIdentities()


def _calibration(fact: pb.Calibration) -> Calibration:
    try:
        return Calibration.model_validate_json(fact.json)
    except ValueError as error:
        raise InvalidMessageError("bad_calibration", f"{fact.pack}: {error}") from error


def _pair(camera: str, other: str) -> tuple[str, str]:
    return (camera, other) if camera < other else (other, camera)

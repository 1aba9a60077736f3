"""What matchers are told apart from the gallery: calibrations, walking times, corrections."""

import logging

from processors.match.overlay import Overlay, Touched
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.naming import parse_fact_key
from sightline.identity.calibration import Calibration, builtin
from sightline.identity.scale import Scale
from sightline.runtime.clock import US

log = logging.getLogger(__name__)

_ROUNDING = 1 + 1e-9
"""What is divided by a number again must not be less than before it was multiplied by it."""

_MOST = 0.5
"""The highest rate of tracks that may get somebody else's id."""


class Facts:
    """The facts in force, as the topic `facts` has them."""

    def __init__(self) -> None:
        self.overlay = Overlay()
        self._calibrations: dict[str, Calibration] = {}
        self._walking: dict[tuple[str, str], float] = {}

    def put(self, key: bytes, value: bytes | None) -> Touched:
        """Take a record of the topic; what it may have made another.

        Raises InvalidMessageError for one that cannot be read: then all stays as it was.
        """
        if value is None:
            return self._take_back(key.decode(errors="replace"))
        fact = decode(pb.Fact, value)
        match fact.WhichOneof("fact"):
            case "calibration":
                self._calibrations[fact.calibration.pack] = _calibration(fact.calibration)
            case "walking_time":
                walk = fact.walking_time
                self._walking[_pair(walk.camera_a, walk.camera_b)] = walk.seconds
            case "track":
                return self.overlay.set_track(fact.track.track_id, fact.track)
            case "person":
                return self.overlay.set_person(fact.person.global_id, fact.person)
        return Touched()

    def scale(self, pack: str, people: int, wanted_rate: float) -> Scale:
        """What scores of a pack mean in a search among so many people."""
        return self._calibration_of(pack).scale(people, wanted_rate)

    def scale_of_ids(self, pack: str, people: int, wanted_rate: float) -> Scale:
        """The same for strangers, whose ids are no names: where the rate cannot be promised, the
        least that can be.
        """
        calibration = self._calibration_of(pack)
        people = min(max(people, 1), int(_MOST / (calibration.supported * _ROUNDING)))
        least = calibration.supported * people * _ROUNDING
        return calibration.scale(people, max(wanted_rate, least))

    def walking_us(self, camera: str, other: str) -> int:
        """Nobody gets from one camera to the other in less time; 0 where nothing is known."""
        return round(self._walking.get(_pair(camera, other), 0.0) * US)

    def _calibration_of(self, pack: str) -> Calibration:
        return self._calibrations.get(pack) or builtin(pack)

    def _take_back(self, key: str) -> Touched:
        kind, about, other = parse_fact_key(key)
        match kind:
            case "calibration":
                self._calibrations.pop(about, None)
            case "walking":
                self._walking.pop(_pair(about, other), None)
            case "track":
                return self.overlay.set_track(about, None)
            case "person" if about.isdecimal():
                return self.overlay.set_person(int(about), None)
            case _:
                raise InvalidMessageError("bad_id", f"no fact is called {key[:80]!r}")
        return Touched()


def _calibration(fact: pb.Calibration) -> Calibration:
    try:
        return Calibration.from_json(fact.json)
    except ValueError as error:
        raise InvalidMessageError("bad_calibration", f"{fact.pack}: {error}") from error


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)

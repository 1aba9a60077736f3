"""A pack's measured curve, and the scale that follows from it."""

from dataclasses import dataclass

from sightline.identity.scale import Scale


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured of a pack."""

    id: str
    pack: str
    names: tuple[float, ...]
    newcomer: float
    lead: float
    agree: float

    def scale(self, people: int, wanted_rate: float) -> Scale:
        """The scale for a search among so many people. Cheap: the matcher asks for every event."""
        return Scale(self.names, self.newcomer, self.lead, self.agree, self.id, wanted_rate, people)

    def to_json(self) -> str:
        """As it is stored and published."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Raises ValueError for what is none."""
        raise NotImplementedError


def builtin(pack: str) -> Calibration:
    """The calibration that a pack brings; one never measured is taken for a small ArcFace."""
    if pack == "dlib":
        return Calibration("dlib", pack, (0.968, 0.962, 0.955), 0.948, 0.006, 0.93)
    return Calibration("mobilefacenet", pack, (0.60, 0.55, 0.50), 0.44, 0.05, 0.44)

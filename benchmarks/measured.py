"""Write the calibrations that Sightline brings along: `python -m benchmarks.measured`."""

from pathlib import Path

import sightline.identity
from benchmarks.portraits import SOURCE, orl_portraits, packs
from ops.calibration.fit import calibrate
from sightline.identity.calibration import Calibration, Impostors

FOLDER = Path(sightline.identity.__file__).parent / "measured"

_CAREFUL = 0.8
"""Of the distance to 1 that a threshold has is left for an embedder that nobody has measured."""


def main() -> None:
    """Measure each pack on all 40 people."""
    for settings in packs():
        seen = orl_portraits(settings)
        pack = seen.pack
        name = pack.rpartition("-")[0] or pack
        found = calibrate(pack, seen.good(), SOURCE).calibration
        _write(name, found.model_copy(update={"id": f"builtin-{name}"}))
        if pack != "dlib":
            _write("buffalo_l", _taken(found, "buffalo_l", 1.0, 1e-7))
            _write("unknown", _taken(found, "unknown", _CAREFUL, 1e-6))


def _taken(other: Calibration, name: str, careful: float, supported: float) -> Calibration:
    """The calibration of a pack that nobody has measured, from that of another."""
    impostors = tuple(_raised(one, careful, supported) for one in other.impostors)
    source = f"not measured; taken from {other.pack} on the {other.source}"
    return other.model_copy(
        update={
            "id": f"builtin-{name}",
            "pack": name,
            "measured": False,
            "source": source,
            "impostors": impostors,
        }
    )


def _raised(one: Impostors, careful: float, supported: float) -> Impostors:
    bound = tuple(round(1 - (1 - score) * careful, 4) for score in one.bound)
    return one.model_copy(update={"bound": bound, "supported": max(one.supported, supported)})


def _write(name: str, calibration: Calibration) -> None:
    text = Calibration.from_json(calibration.to_json()).model_dump_json(indent=1)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(f"{text}\n")
    print(name, calibration.people, calibration.portraits, len(text))


if __name__ == "__main__":
    main()

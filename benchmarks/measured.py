"""Write the built-in calibrations: `python -m benchmarks.measured`."""

from pathlib import Path

import sightline.identity
from benchmarks.portraits import SOURCE, orl_portraits, packs
from ops.calibration.fit import calibrate
from sightline.identity.calibration import Calibration, NonMatedScores

FOLDER = Path(sightline.identity.__file__).parent / "measured"

_UNMEASURED_FACTOR = 0.8
"""Factor of a threshold's distance to 1 for an embedder that has not been measured."""


def main() -> None:
    """Measure each pack on all 40 people."""
    for settings in packs():
        portraits = orl_portraits(settings)
        pack = portraits.pack
        name = pack.rpartition("-")[0] or pack
        calibration = calibrate(pack, portraits.good(), SOURCE).calibration
        _write(name, calibration.model_copy(update={"id": f"builtin-{name}"}))
        if pack != "dlib":
            _write("buffalo_l", _derived(calibration, "buffalo_l", 1.0, 1e-7))
            _write("unknown", _derived(calibration, "unknown", _UNMEASURED_FACTOR, 1e-6))


def _derived(measured: Calibration, name: str, factor: float, supported: float) -> Calibration:
    """Derive the calibration of an unmeasured pack from a measured one."""
    impostors = tuple(_raised(case, factor, supported) for case in measured.impostors)
    source = f"not measured; taken from {measured.pack} on the {measured.source}"
    names = {"id": f"builtin-{name}", "pack": name, "source": source}
    return measured.model_copy(update=names | {"measured": False, "impostors": impostors})


def _raised(impostors: NonMatedScores, factor: float, supported: float) -> NonMatedScores:
    bound = tuple(round(1 - (1 - score) * factor, 4) for score in impostors.bound)
    return impostors.model_copy(
        update={"bound": bound, "supported": max(impostors.supported, supported)}
    )


def _write(name: str, calibration: Calibration) -> None:
    text = Calibration.model_validate_json(calibration.model_dump_json()).model_dump_json(indent=1)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(f"{text}\n")
    print(name, calibration.people, calibration.portraits, len(text))


if __name__ == "__main__":
    main()

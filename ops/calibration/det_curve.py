"""Plot of a calibration's detection error trade-off (DET, ISO/IEC 19795)."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ops.calibration.report import fnmr_at
from sightline.identity.calibration import Calibration, MatedScores, NonMatedScores
from sightline.runtime.errors import SightlineError

_MIN_FNMR = 1e-3
"""Smallest false non-match rate that is drawn: the samples are too few for smaller ones."""


def draw(calibration: Calibration, path: Path) -> None:
    """Write the curves as PNG: false match rate against false non-match rate of tracks.

    Dots are counted rates, a full line is the estimate, a broken line the extrapolated tail, a
    dotted line the bound that decisions use. Raises SightlineError if the file cannot be written.
    """
    photos = sorted({mated.photos for mated in calibration.genuine})
    figure = Figure(figsize=(6.5 * len(photos), 6.0), layout="constrained")
    axes = figure.subplots(1, len(photos), squeeze=False, sharey=True)[0]
    for axis, number in zip(axes, photos, strict=True):
        _frame(axis, number)
        for mated in calibration.genuine:
            non_mated = _matching(calibration, mated)
            if mated.photos == number and non_mated is not None:
                _curve(axis, calibration, non_mated, mated)
        axis.legend(
            title="dots: counted\nbroken line: extrapolated\ndotted line: bound", frameon=False
        )
    measured = "" if calibration.measured else "NOT MEASURED WITH THIS PACK. "
    figure.suptitle(
        f"{calibration.pack}, {calibration.id}\n{measured}{calibration.people} people,"
        f" {calibration.portraits} portraits: {calibration.source}",
        fontsize=9,
    )
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error


def _matching(calibration: Calibration, mated: MatedScores) -> NonMatedScores | None:
    for non_mated in calibration.impostors:
        if (non_mated.shots, non_mated.photos) == (mated.shots, mated.photos):
            return non_mated
    return None


def _frame(axis: Axes, photos: int) -> None:
    axis.set(
        title=f"enrolled with {photos} photo{'s' if photos > 1 else ''}",
        xlabel="false match rate (non-mated comparisons)",
        ylabel="false non-match rate (tracks of enrolled people)",
        xscale="log",
        yscale="log",
        xlim=(1e-9, 1.0),
        ylim=(_MIN_FNMR, 1.0),
    )
    axis.grid(which="major", alpha=0.3)


def _curve(
    axis: Axes, calibration: Calibration, non_mated: NonMatedScores, mated: MatedScores
) -> None:
    rates = np.array(calibration.rates)
    fnmr = np.array([fnmr_at(calibration, mated, score) for score in non_mated.estimate])
    fnmr_at_bound = np.array([fnmr_at(calibration, mated, score) for score in non_mated.bound])
    fnmr, fnmr_at_bound = np.maximum(fnmr, _MIN_FNMR), np.maximum(fnmr_at_bound, _MIN_FNMR)
    counted = np.array([fnmr_at(calibration, mated, score) for score in non_mated.counted])
    end = len(counted)
    label = f"{mated.shots} observation{'s' if mated.shots > 1 else ''}"
    (line,) = axis.plot(rates[: end + 1], fnmr[: end + 1], label=label)
    axis.plot(rates[end:], fnmr[end:], "--", color=line.get_color())
    axis.plot(rates[:end], np.maximum(counted, _MIN_FNMR), ".", color=line.get_color())
    promised = rates >= non_mated.supported * (1 - 1e-9)
    axis.plot(rates[promised], fnmr_at_bound[promised], ":", color=line.get_color())

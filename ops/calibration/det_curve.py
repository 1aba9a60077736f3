"""The detection error trade-off of a calibration, drawn."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ops.calibration.report import missed
from sightline.identity.calibration import Calibration, Genuine, Impostors
from sightline.runtime.errors import SightlineError

_LEAST = 1e-3
"""Of misses, that is shown: fewer cannot be told from none."""


def draw(calibration: Calibration, path: Path) -> None:
    """Write the curves as PNG: false matches for one comparison against people missed.

    Dots are what was counted, a full line the estimate there, a broken one where the tail is
    extrapolated, a dotted one the bound that decisions go by. Raises SightlineError where the
    file cannot be written.
    """
    photos = sorted({one.photos for one in calibration.genuine})
    figure = Figure(figsize=(6.5 * len(photos), 6.0), layout="constrained")
    axes = figure.subplots(1, len(photos), squeeze=False, sharey=True)[0]
    for axis, number in zip(axes, photos, strict=True):
        _frame(axis, number)
        for own in calibration.genuine:
            strange = _matching(calibration, own)
            if own.photos == number and strange is not None:
                _curve(axis, calibration, strange, own)
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


def _matching(calibration: Calibration, own: Genuine) -> Impostors | None:
    for one in calibration.impostors:
        if (one.shots, one.photos) == (own.shots, own.photos):
            return one
    return None


def _frame(axis: Axes, photos: int) -> None:
    axis.set(
        title=f"enrolled with {photos} photo{'s' if photos > 1 else ''}",
        xlabel="strangers matched, for one comparison",
        ylabel="tracks of enrolled people missed",
        xscale="log",
        yscale="log",
        xlim=(1e-9, 1.0),
        ylim=(_LEAST, 1.0),
    )
    axis.grid(which="major", alpha=0.3)


def _curve(axis: Axes, calibration: Calibration, strange: Impostors, own: Genuine) -> None:
    rates = np.array(calibration.rates)
    misses = np.array([missed(calibration, own, score) for score in strange.estimate])
    at_bound = np.array([missed(calibration, own, score) for score in strange.bound])
    misses, at_bound = np.maximum(misses, _LEAST), np.maximum(at_bound, _LEAST)
    counted = np.array([missed(calibration, own, score) for score in strange.counted])
    end = len(counted)
    label = f"{own.shots} shot{'s' if own.shots > 1 else ''}"
    (line,) = axis.plot(rates[: end + 1], misses[: end + 1], label=label)
    axis.plot(rates[end:], misses[end:], "--", color=line.get_color())
    axis.plot(rates[:end], np.maximum(counted, _LEAST), ".", color=line.get_color())
    promised = rates >= strange.supported * (1 - 1e-9)
    axis.plot(rates[promised], at_bound[promised], ":", color=line.get_color())

"""Load shedding of live cameras, as vision's processes report it in their metrics."""

from pathlib import Path
from typing import Any

from ops.local_stack.admin_client import request_pages
from processors.vision.shed_ratio import OVERLOADED_RATIO, percent
from sightline.runtime import metrics
from sightline.runtime.service_discovery import targets


def skipped_ratios(home: Path) -> dict[str, float]:
    """Ask every vision process of a home; return the skipped ratio of the last minute by camera.

    Cameras of which no live frame has come are left out, as is a process that does not answer.
    """
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    [described] = metrics.VISION_SKIPPED_RATIO.describe()
    ratios: dict[str, float] = {}
    for _, text in request_pages(
        [target for target in targets(home) if target.service == "vision"], "/metrics"
    ):
        for family in text_string_to_metric_families(text):
            if family.name == described.name:
                for sample in family.samples:
                    camera = sample.labels["camera"]
                    ratios[camera] = max(sample.value, ratios.get(camera, 0.0))
    return ratios


def overload_fields(detail: str | None, ratio: float | None) -> dict[str, Any]:
    """Return `detail` and `skipped_ratio` of a camera's row; the detail names an overload."""
    if ratio is not None and ratio > OVERLOADED_RATIO:
        overload = f"overloaded: {percent(ratio)} of frames skipped"
        detail = f"{detail}; {overload}" if detail else overload
    return {"detail": detail, "skipped_ratio": ratio}

"""Load shedding of live cameras, as vision's processes report it in their metrics."""

from pathlib import Path
from typing import Any

from ops.local_stack.admin_client import ask_all
from processors.vision.shed_ratio import OVERLOADED_SHARE, percent
from sightline.runtime import metrics
from sightline.runtime.service_discovery import targets


def skipped_shares(home: Path) -> dict[str, float]:
    """Ask every vision process of a home; return the skipped share of the last minute by camera.

    Cameras of which no live frame has come are left out, as is a process that does not answer.
    """
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    [described] = metrics.VISION_SKIPPED_SHARE.describe()
    shares: dict[str, float] = {}
    for _, text in ask_all(
        [target for target in targets(home) if target.service == "vision"], "/metrics"
    ):
        for family in text_string_to_metric_families(text):
            if family.name == described.name:
                for sample in family.samples:
                    camera = sample.labels["camera"]
                    shares[camera] = max(sample.value, shares.get(camera, 0.0))
    return shares


def overload_fields(detail: str | None, share: float | None) -> dict[str, Any]:
    """Return `detail` and `skipped_share` of a camera's row; the detail names an overload."""
    if share is not None and share > OVERLOADED_SHARE:
        overload = f"overloaded: {percent(share)} of frames skipped"
        detail = f"{detail}; {overload}" if detail else overload
    return {"detail": detail, "skipped_share": share}

"""Prometheus metrics of one camera: up or down, pictures per second, reconnects."""

from typing import Final

from sightline.runtime import metrics
from sightline.runtime.clock import Clock

_RATE_SECONDS: Final = 5.0


class CameraMetrics:
    """The metrics of a camera that is being read or reconnected."""

    def __init__(self, camera_id: str, clock: Clock) -> None:
        self._camera_id = camera_id
        self._clock = clock
        self._period_started_at = clock.monotonic()
        self._pictures = 0
        metrics.CAMERA_RECONNECTS.labels(camera_id)  # exports 0 as well

    def set_up(self, is_up: bool) -> None:
        """Set the camera up or down; the rate starts again at 0."""
        metrics.CAMERA_UP.labels(self._camera_id).set(is_up)
        metrics.CAMERA_FPS.labels(self._camera_id).set(0.0)
        self._period_started_at, self._pictures = self._clock.monotonic(), 0

    def count_pictures(self, pictures: int) -> None:
        """Count the pictures of one read, 0 included; export their rate every few seconds."""
        self._pictures += pictures
        now = self._clock.monotonic()
        if now - self._period_started_at >= _RATE_SECONDS:
            metrics.CAMERA_FPS.labels(self._camera_id).set(
                self._pictures / (now - self._period_started_at)
            )
            self._period_started_at, self._pictures = now, 0

    def count_reconnect(self) -> None:
        """Count an attempt to open the camera again."""
        metrics.CAMERA_RECONNECTS.labels(self._camera_id).inc()


def remove_metrics(camera_id: str) -> None:
    """Remove the metrics of a camera that is no longer configured."""
    for gauge in (metrics.CAMERA_UP, metrics.CAMERA_FPS, metrics.FRAMES_WAITING):
        gauge.remove(camera_id)

"""What a camera shows of itself: whether it is up, and how many pictures a second it gives."""

from typing import Final

from sightline.runtime import metrics
from sightline.runtime.clock import Clock

_SECONDS: Final = 5.0


class CameraGauges:
    """Of one camera that is being read, or tried."""

    def __init__(self, camera_id: str, clock: Clock) -> None:
        self._camera_id = camera_id
        self._clock = clock
        self._began = clock.monotonic()
        self._pictures = 0
        metrics.CAMERA_RECONNECTS.labels(camera_id)  # 0 is said as well

    def is_up(self, is_up: bool) -> None:
        """Show whether pictures come."""
        metrics.CAMERA_UP.labels(self._camera_id).set(is_up)
        metrics.CAMERA_FPS.labels(self._camera_id).set(0.0)
        self._began, self._pictures = self._clock.monotonic(), 0

    def looked(self, pictures: int) -> None:
        """Count the pictures of a look, also where there were none: a rate every few seconds."""
        self._pictures += pictures
        now = self._clock.monotonic()
        if now - self._began >= _SECONDS:
            metrics.CAMERA_FPS.labels(self._camera_id).set(self._pictures / (now - self._began))
            self._began, self._pictures = now, 0

    def reconnects(self) -> None:
        """Count an attempt to reach it again."""
        metrics.CAMERA_RECONNECTS.labels(self._camera_id).inc()


def forget(camera_id: str) -> None:
    """Nobody is to read the camera any more: it is neither up nor down."""
    for gauge in (metrics.CAMERA_UP, metrics.CAMERA_FPS, metrics.FRAMES_WAITING):
        gauge.remove(camera_id)

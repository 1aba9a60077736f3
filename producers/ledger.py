"""What became of every frame of a camera: captured = delivered + dropped, by reason."""

from collections import Counter

from sightline import metrics


class Ledger:
    """A camera's account, kept by its thread alone and shown as metrics."""

    def __init__(self, camera_id: str) -> None:
        self._camera_id = camera_id
        self.captured = 0
        self.delivered = 0
        self.dropped: Counter[str] = Counter()

    def capture(self, frames: int) -> None:
        """Frames have been read."""
        self.captured += frames
        metrics.FRAMES_CAPTURED.labels(self._camera_id).inc(frames)

    def deliver(self) -> None:
        """Kafka has acknowledged a frame."""
        self.delivered += 1
        metrics.FRAMES_DELIVERED.labels(self._camera_id).inc()

    def drop(self, reason: str, frames: int = 1) -> None:
        """Frames will not be delivered; `reason` is one of those that the metric names."""
        if frames:
            self.dropped[reason] += frames
            metrics.FRAMES_DROPPED.labels(self._camera_id, reason).inc(frames)

    @property
    def open(self) -> int:
        """Frames whose fate is not known yet."""
        return self.captured - self.delivered - self.dropped.total()

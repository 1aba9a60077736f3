"""Crops of faces that clients send, to the decisions on their tracks.

A crop goes to the topic `crops`, like one of a camera that detects on board: vision embeds it, the
matching stream decides, and both answers are read from their topics.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from api.client_tracks import ClientTrack, ClientTracks
from api.decision_stream import DecisionStream, PendingDecision
from api.settings import ApiSettings
from schemas import sightline_pb2 as pb
from schemas.topics import CROPS, KIB
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo, to_upright_jpeg
from sightline.people.query_face import refused_face_error
from sightline.runtime.clock import US_PER_SECOND, Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, PhotoError
from sightline.runtime.settings import Settings
from sightline.streaming.records import OutputRecord

log = logging.getLogger(__name__)

_IDLE_POLL_SECONDS = 5.0
"""Between two searches for tracks that no client asks for any more."""

_NO_DECISION = "NO_DECISION"


@dataclass(frozen=True, slots=True)
class ClientCrop:
    """The face of a client's track in a frame."""

    number: int
    """The client's own, of the track."""
    photo: Photo


@dataclass(frozen=True, slots=True, eq=False)
class TrackDecision:
    """The decision on one track of a request."""

    number: int
    sighting: pb.Sighting | None
    """None where nothing is decided yet."""
    is_cached: bool
    """The crop was not embedded."""
    error: PhotoError | None = None
    """The reason why the crop gave no decision."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """A crop of a request; without `pending` the decision is known already."""

    crop: ClientCrop
    track: ClientTrack
    pending: PendingDecision | None = None
    error: PhotoError | None = None


class CropDecisions:
    """Publishes clients' crops, awaits the decisions, and ends tracks that are no longer asked for.

    One for each process: all requests share its connection to Kafka.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Make the service; the first crop connects it."""
        self._settings = settings
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._tracks = ClientTracks(round(settings.evidence.reverify_seconds * US_PER_SECOND))
        self._stream = DecisionStream(settings, self._take_outcome, self._take_sighting)

    async def decide(
        self, camera_id: str, site_id: str, crops: Sequence[ClientCrop]
    ) -> list[TrackDecision]:
        """Return the decision on each crop's track, after `api.decision_seconds` at most.

        Raises:
            InfrastructureError: Nothing was decided on any of them in time.
        """
        requests = await asyncio.to_thread(self._send_all, camera_id, site_id, crops)
        waiting = [
            asyncio.wrap_future(request.pending.decision)
            for request in requests
            if request.pending is not None
        ]
        if waiting:
            done, late = await asyncio.wait(
                waiting, timeout=ApiSettings.of(self._settings).decision_seconds
            )
            for future in late:
                future.cancel()
            sightings = [future.result().sighting for future in done]  # raises Kafka's errors
            if late and not any(sightings):
                raise _silence(requests)
        return [self._decision(request) for request in requests]

    async def end_idle(self) -> None:
        """End the tracks that clients no longer ask for, again and again until cancelled."""
        while True:
            await asyncio.sleep(_IDLE_POLL_SECONDS)
            await asyncio.to_thread(self.end_idle_now)

    def end_idle_now(self) -> None:
        """End the tracks that no client has asked for during `vision.settled_seconds`."""
        with self._lock:
            idle = self._tracks.remove_idle(self._clock.now_us())
        self._end(idle)

    def close(self, seconds: float) -> None:
        """End all tracks, and deliver what is under way within so many seconds."""
        with self._lock:
            tracks = self._tracks.remove_all()
        self._end(tracks)
        self._stream.close(seconds)

    def _take_outcome(self, outcome: pb.CropOutcome) -> None:
        with self._lock:
            self._tracks.apply_outcome(outcome)

    def _take_sighting(self, sighting: pb.Sighting) -> None:
        with self._lock:
            self._tracks.apply_sighting(sighting)

    def _send_all(
        self, camera_id: str, site_id: str, crops: Sequence[ClientCrop]
    ) -> list[_Request]:
        with self._lock:
            # Crops of one request are of one frame: their tracks are in it at once.
            at_us = self._tracks.next_time_us(self._clock.now_us())
            tracks = [
                self._tracks.request_track(camera_id, site_id, crop.number, at_us) for crop in crops
            ]
        return [
            self._send(crop, track, site_id, at_us)
            for crop, track in zip(crops, tracks, strict=True)
        ]

    def _send(self, crop: ClientCrop, track: ClientTrack, site_id: str, at_us: int) -> _Request:
        if track.is_fresh(at_us):
            return _Request(crop, track)
        try:
            jpeg = _upright_jpeg(crop.photo)
        except PhotoError as error:
            return _Request(crop, track, error=error)
        decided = track.track_id if track.sighting is not None else ""
        message = _crop(track, site_id, at_us)
        message.MergeFrom(pb.Crop(jpeg=jpeg, decided_track_id=decided, reply=True))
        return _Request(crop, track, self._stream.send_crop(_record(message), message))

    def _decision(self, request: _Request) -> TrackDecision:
        track, pending, error = request.track, request.pending, request.error
        if pending is None:
            return TrackDecision(track.number, track.sighting, is_cached=True, error=error)
        decided = pending.result()
        if decided is None:
            late = PhotoError(_NO_DECISION, "the matching stream did not answer in time")
            return TrackDecision(track.number, track.sighting, is_cached=True, error=late)
        outcome, sighting = decided
        if sighting is not None:
            return TrackDecision(track.number, sighting, is_cached=False)
        if outcome.refusal == "late" and track.sighting is not None:
            return TrackDecision(track.number, track.sighting, is_cached=True)
        error = _error_of(request.crop.photo.label, outcome)
        return TrackDecision(track.number, track.sighting, is_cached=True, error=error)

    def _end(self, tracks: Sequence[ClientTrack]) -> None:
        ends = [
            _crop(track, track.site_id, track.requested_us) for track in tracks if track.track_id
        ]
        for end in ends:
            end.track_ended = True
        try:
            self._stream.send([_record(end) for end in ends])
        except InfrastructureError as error:
            log.warning("api: vision is not told of %d ends: %s", len(ends), error)


def _upright_jpeg(photo: Photo) -> bytes:
    """Return a crop as a record has it. Raises PhotoError."""
    jpeg = to_upright_jpeg(photo)
    if len(jpeg) > CROPS.max_record_bytes - KIB:
        raise PhotoError(Reason.IMAGE_TOO_LARGE, f"{photo.label}: the picture is too large")
    return jpeg


def _crop(track: ClientTrack, site_id: str, at_us: int) -> pb.Crop:
    """Return the message of a crop of a track, without its picture."""
    return pb.Crop(
        crop_id=str(uuid4()), camera_id=track.camera_id, site_id=site_id,
        track_number=track.number, captured_at_us=at_us,
    )  # fmt: skip


def _record(crop: pb.Crop) -> OutputRecord:
    return OutputRecord.of(CROPS, crop.camera_id, crop, crop.captured_at_us)


def _silence(requests: Sequence[_Request]) -> InfrastructureError:
    """Return the error that names the service which does not answer."""
    if any(request.pending and request.pending.outcome for request in requests):
        return InfrastructureError("the matching stream does not answer: does `match` run?")
    return InfrastructureError("vision takes no crops: does `vision` run?")


def _error_of(label: str, outcome: pb.CropOutcome) -> PhotoError | None:
    """Return the error of a crop that was looked at in vain; None for one not looked at."""
    if not outcome.refusal:
        return None
    if outcome.refusal == "late":
        return PhotoError(_NO_DECISION, f"{label}: a later crop of the track was there before")
    return refused_face_error(label, outcome.refusal, outcome.face_px)

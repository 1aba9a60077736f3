"""Crops of faces to what the matching stream decides of them."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from api.faces import Faces, face_of_crop, pixels_of
from api.settings import ApiSettings
from api.stream import MatchingStream
from api.tracks import ClientTrack, ClientTracks
from schemas import sightline_pb2 as pb
from schemas.ids import observation_id
from sightline.models import outputs
from sightline.models.interface import BGRImage
from sightline.people.picture_files import Photo
from sightline.people.query_face import Found
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, PhotoError
from sightline.runtime.settings import Settings

log = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0
"""How often is looked for tracks that nobody has asked for in long."""

_FRAME_TOPIC = "api"
"""Stands for the topic of a frame that came by the API and is in none."""


@dataclass(frozen=True, slots=True)
class Crop:
    """The face of a client's track in a frame; `photo` is what was sent."""

    number: int
    photo: Photo


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why there is no shot in a crop; `reason` is a code."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What is known of one track after a frame."""

    number: int
    track_id: str
    sighting: pb.Sighting | None
    is_cached: bool
    flaw: Flaw | None = None
    pending: "Future[pb.Sighting] | None" = None


class LiveTracks:
    """Takes crops, asks the matching stream, and ends tracks that nobody asks for any more."""

    def __init__(self, settings: Settings, faces: Faces, clock: Clock | None = None) -> None:
        self._settings = settings
        self._faces = faces
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._tracks = ClientTracks(settings.evidence)
        self._stream = MatchingStream(settings, self._told)

    async def decide(self, camera_id: str, site_id: str, crops: Sequence[Crop]) -> list[Answer]:
        """What the stream says of each crop's track, waiting no longer than is set.

        Raises InfrastructureError when it says nothing of any of them.
        """
        answers = await asyncio.to_thread(self._look_at_all, camera_id, site_id, crops)
        pending = [asyncio.wrap_future(one.pending) for one in answers if one.pending is not None]
        if not pending:
            return answers
        done, late = await asyncio.wait(
            pending, timeout=ApiSettings.of(self._settings).decision_seconds
        )
        for future in late:
            future.cancel()
        for future in done:
            future.result()  # raises what Kafka has to say
        if not done:
            raise InfrastructureError("the matching stream does not answer: does `match` run?")
        return [_resolved(one) for one in answers]

    async def end_idle(self) -> None:
        """For as long as the app runs: end tracks that have not been seen for long."""
        while True:
            await asyncio.sleep(_IDLE_SECONDS)
            await asyncio.to_thread(self.end_now)

    def end_now(self) -> None:
        """End the tracks that have not been seen for long."""
        with self._lock:
            gone = self._tracks.idle(self._clock.now_us())
        self._end(gone)

    def close(self, seconds: float) -> None:
        """End all tracks, and deliver what is under way."""
        with self._lock:
            gone = self._tracks.all()
        self._end(gone)
        self._stream.close(seconds)

    def _told(self, sighting: pb.Sighting) -> None:
        with self._lock:
            self._tracks.told(sighting)

    def _look_at_all(self, camera_id: str, site_id: str, crops: Sequence[Crop]) -> list[Answer]:
        with self._lock:
            at_us = self._tracks.tick(self._clock.now_us())
            # All begin before any of them has a shot: they are in the picture at once.
            tracks = [self._tracks.seen(camera_id, site_id, one.number, at_us) for one in crops]
        return [self._look(track, crop) for track, crop in zip(tracks, crops, strict=True)]

    def _look(self, track: ClientTrack, crop: Crop) -> Answer:
        with self._lock:
            known = Answer(crop.number, track.name.track_id, track.last, is_cached=True)
            if not self._tracks.wants_shot(track, self._clock.now_us()):
                return known
        pack = self._faces.pack()
        try:
            image = pixels_of(crop.photo)
            found = face_of_crop(image, crop.photo.label, pack, self._settings)
        except PhotoError as error:
            return replace(known, flaw=Flaw(error.reason, str(error)))
        return replace(known, is_cached=False, pending=self._ask(track, image, found))

    def _ask(self, track: ClientTrack, image: BGRImage, found: Found) -> "Future[pb.Sighting]":
        height, width = image.shape[:2]
        box = np.array([0, 0, width, height], np.float32)
        with self._lock:
            at_us = self._tracks.tick(self._clock.now_us())
            shot = outputs.Shot(
                found.face, found.quality, box, track.shots.epoch,
                self._faces.pack().id, found.vector,
            )  # fmt: skip
            is_best = self._tracks.taken(track, at_us, found.quality.overall)
            sequence = track.frames
        # Without the frame's size: where in it the crop was is not known.
        frame = pb.Frame(captured_at_us=at_us, sequence=sequence)
        position = pb.Position(topic=_FRAME_TOPIC, offset=at_us)
        record = outputs.observation(track.name, frame, position, shot)
        best = None
        if is_best:
            portrait = outputs.portrait(image, found.face)
            best = outputs.snapshot(track.name, frame, position, shot, portrait)
        asked = observation_id(track.name.track_id, at_us)
        return self._stream.ask(record, asked, [best] if best else [])

    def _end(self, tracks: Sequence[ClientTrack]) -> None:
        at_us = self._clock.now_us()
        seen = [track for track in tracks if track.shots.total]
        try:
            self._stream.tell([outputs.track_ended(track, at_us) for track in seen])
        except InfrastructureError as error:
            log.warning("api: the matcher is not told of %d ends: %s", len(seen), error)


def _resolved(answer: Answer) -> Answer:
    if answer.pending is None:
        return answer
    if answer.pending.done() and not answer.pending.cancelled():
        return replace(answer, sighting=answer.pending.result())
    return replace(
        answer,
        is_cached=True,
        flaw=Flaw("NO_DECISION", "the matching stream did not answer in time"),
    )

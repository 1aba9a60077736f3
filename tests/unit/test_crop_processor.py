"""Crops of senders' tracks to observations, with models that see what the test says."""

from collections.abc import Sequence
from uuid import UUID

import cv2
import numpy as np
import pytest

from processors.vision import crop_tracks
from processors.vision.crop_processor import CropProcessor
from schemas import sightline_pb2 as pb
from schemas.decode import decode
from schemas.ids import motion_event_id, observation_id, track_id
from sightline.models.interface import BGRImage, Face, ModelPack
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import RETRY_FOR, OutputRecord, Record
from tests.unit.test_vision_pipeline import SeenFaces, Vectors, make_face

T0 = 1_700_000_000 * US_PER_SECOND
SIDE = 160
HALF_SECOND = US_PER_SECOND // 2
SETTINGS = EvidenceSettings(observations=2, interval_seconds=0.5, reverify_seconds=10)


class OneFace:
    """The faces that the test says, in whatever is searched."""

    def __init__(self) -> None:
        self.faces = [make_face(40, 40, 80)]

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        return [list(self.faces) for _ in images]


class Sender:
    """Sends crops to a processor, as the records of one partition, and keeps what comes of them."""

    def __init__(self, processor: CropProcessor | None = None, offset: int = 0) -> None:
        self.faces = OneFace()
        self.vectors = Vectors()
        pack = ModelPack("test", None, self.faces, self.vectors)
        self.processor = processor or CropProcessor(lambda: pack, SETTINGS)
        self.outs: list[OutputRecord] = []
        self.offset = offset
        noise = np.random.default_rng(1).integers(0, 250, (SIDE, SIDE, 3), dtype=np.uint8)
        self.jpeg = cv2.imencode(".jpg", noise)[1].tobytes()

    def send(
        self,
        at_us: int = T0,
        number: int = 7,
        *,
        camera: str = "client",
        decided: str = "",
        reply: bool = True,
        ended: bool = False,
        jpeg: bytes | None = None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> list[OutputRecord]:
        crop = pb.Crop(
            crop_id=str(UUID(int=self.offset)),
            camera_id=camera,
            site_id="home",
            track_number=number,
            captured_at_us=at_us,
            jpeg=b"" if ended else (jpeg or self.jpeg),
            track_ended=ended,
            decided_track_id=decided,
            reply=reply,
        )
        record = Record(
            "crops", 0, self.offset, camera.encode(), crop.SerializeToString(), at_us // 1000,
            headers,
        )  # fmt: skip
        self.offset += 1
        outs = []
        try:
            for out in self.processor.process(record):
                outs.append(out)
        finally:
            self.outs += outs
        return outs


def outcomes(outs: Sequence[OutputRecord]) -> list[pb.CropOutcome]:
    return [decode(pb.CropOutcome, out.value) for out in outs if out.topic == "crop-outcomes"]


def events(outs: Sequence[OutputRecord]) -> list[pb.FaceEvent]:
    return [decode(pb.FaceEvent, out.value) for out in outs if out.topic == "faces"]


def observations(outs: Sequence[OutputRecord]) -> list[pb.FaceObservation]:
    return [event.observation for event in events(outs) if event.HasField("observation")]


def ends(outs: Sequence[OutputRecord]) -> list[pb.TrackEnded]:
    return [event.track_ended for event in events(outs) if event.HasField("track_ended")]


def test_a_crop_is_an_observation_of_its_track_a_snapshot_and_an_outcome() -> None:
    sender = Sender()
    outs = sender.send()
    name = track_id("client", T0, 7)
    first, repeated = observations(outs)
    assert first == repeated
    assert (first.observation_id, first.track_id) == (observation_id(name, T0), name)
    assert first.motion_event_id == motion_event_id("client", T0)
    assert first.frame == pb.Position(topic="crops", partition=0, offset=0)
    assert (first.width, first.height) == (0, 0)  # the crop's place in its frame is not known
    assert (first.track_box.x2, first.track_box.y2) == (SIDE, SIDE)
    [outcome] = outcomes(outs)
    assert outcome.observation_id == first.observation_id
    assert outcome.crop_id == str(UUID(int=0))
    assert outcome.next_look_us == T0 + HALF_SECOND
    [snapshot] = [out for out in outs if out.topic == "snapshots"]
    assert snapshot.key == name
    assert {out.timestamp_ms for out in outs} == {T0 // 1000}


def test_nobody_waits_for_the_crop_of_a_camera_so_its_observation_comes_once() -> None:
    assert len(observations(Sender().send(reply=False))) == 1


def test_crops_of_one_frame_share_a_motion_event() -> None:
    sender = Sender()
    [one, *_], [other, *_] = (observations(sender.send(number=number)) for number in (1, 2))
    assert one.track_id != other.track_id
    assert one.motion_event_id == other.motion_event_id


def test_a_settled_track_is_left_alone_and_then_begins_its_next_epoch() -> None:
    sender = Sender()
    name = track_id("client", T0, 7)
    sender.send(T0)
    sender.send(T0 + HALF_SECOND, decided=name)
    outs = sender.send(T0 + US_PER_SECOND, decided=name)
    assert observations(outs) == []
    [outcome] = outcomes(outs)
    assert (outcome.observation_id, outcome.refusal) == ("", "")
    assert outcome.next_look_us == T0 + HALF_SECOND + 3 * US_PER_SECOND, "then it is verified"
    assert sender.vectors.made == 2
    [later, _] = observations(sender.send(T0 + 11 * US_PER_SECOND, decided=name))
    assert (later.track_id, later.epoch) == (name, 1)


def test_a_sender_without_the_decision_gets_one_also_of_a_settled_track() -> None:
    sender = Sender()
    sender.send(T0)
    sender.send(T0 + HALF_SECOND)
    assert len(observations(sender.send(T0 + US_PER_SECOND))) == 2
    another = track_id("client", T0 + 1, 7)
    assert len(observations(sender.send(T0 + 2 * US_PER_SECOND, decided=another))) == 2


@pytest.mark.parametrize(
    ("faces", "refusal", "face_px"),
    [
        ([], "no_face", 0.0),
        ([make_face(40, 40, 10)], "small", 10.0),
        ([SeenFaces().turn(make_face(40, 40, 80, score=0.3))], "uncertain", 80.0),
    ],
)
def test_a_face_that_is_not_good_enough_is_an_outcome_with_the_reason(
    faces: list[Face], refusal: str, face_px: float
) -> None:
    sender = Sender()
    sender.faces.faces = faces
    outs = sender.send()
    assert observations(outs) == []
    [outcome] = outcomes(outs)
    assert (outcome.refusal, outcome.face_px) == (refusal, face_px)
    assert outcome.track_id == track_id("client", T0, 7)
    sender.faces.faces = [make_face(40, 40, 80)]
    assert observations(sender.send(T0 + 1)), "the next crop is looked at, however soon it comes"


def test_a_face_turned_away_is_for_cameras_alone() -> None:
    turned = SeenFaces()
    turned.turned = 1
    profile = turned.turn(make_face(40, 40, 80))
    for reply, count in ((True, 0), (False, 1)):
        sender = Sender()
        sender.faces.faces = [profile]
        assert len(observations(sender.send(reply=reply))) == count


def test_the_largest_of_several_faces_is_the_tracks() -> None:
    sender = Sender()
    sender.faces.faces = [make_face(0, 0, 30), make_face(40, 40, 80), make_face(90, 0, 40)]
    first, _ = observations(sender.send())
    assert (first.face_box.x1, first.face_box.x2) == (40, 120)


def test_a_crop_that_is_not_later_than_the_one_before_changes_nothing() -> None:
    sender = Sender()
    sender.send(T0 + US_PER_SECOND)
    for at_us in (T0 + US_PER_SECOND, T0):
        outs = sender.send(at_us)
        assert observations(outs) == []
        assert outcomes(outs)[0].refusal == "late"


def test_a_bad_picture_is_a_dead_letter_and_its_sender_is_answered() -> None:
    sender = Sender()
    with pytest.raises(PoisonRecord, match="bad_jpeg"):
        sender.send(jpeg=sender.jpeg[:200])
    assert outcomes(sender.outs)[0].refusal == "bad_jpeg"


def test_a_dead_letter_that_is_tried_again_changes_nothing() -> None:
    sender = Sender()
    assert sender.send(headers=((RETRY_FOR, b"vision"),)) == []
    with pytest.raises(PoisonRecord):
        sender.send(jpeg=b"no picture", headers=((RETRY_FOR, b"vision"),))
    assert list(sender.processor.state()) == []


def test_a_track_ends_when_its_sender_says_so() -> None:
    sender = Sender()
    sender.send()
    [end] = ends(sender.send(T0 + US_PER_SECOND, ended=True))
    assert (end.track_id, end.ended_at_us) == (track_id("client", T0, 7), T0 + US_PER_SECOND)
    assert (end.frames, end.observations) == (1, 1)
    assert sender.send(T0 + 2 * US_PER_SECOND, ended=True) == []
    [outcome] = outcomes(sender.send(T0 + 3 * US_PER_SECOND))
    assert outcome.track_id == track_id("client", T0 + 3 * US_PER_SECOND, 7)


def test_an_end_that_is_older_than_the_newest_crop_is_another_senders() -> None:
    sender = Sender()
    sender.send(T0)
    sender.send(T0 + 2 * US_PER_SECOND)
    assert sender.send(T0 + US_PER_SECOND, ended=True) == []


def test_tracks_of_a_sender_that_has_died_end_with_a_later_crop_of_the_camera() -> None:
    sender = Sender()
    sender.send(T0, number=1)
    sender.send(T0, number=2, camera="other")
    assert ends(sender.send(T0 + 19 * US_PER_SECOND, number=3)) == []
    [end] = ends(sender.send(T0 + 21 * US_PER_SECOND, number=3))
    assert (end.track_number, end.ended_at_us) == (1, T0)


def test_a_partition_has_so_many_tracks_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_tracks, "_MAX_TRACKS", 2)
    sender = Sender()
    for number in (1, 2):
        sender.send(T0, number=number)
    sender.send(T0 + US_PER_SECOND, number=1)
    [end] = ends(sender.send(T0 + 2 * US_PER_SECOND, number=3))
    assert end.track_number == 2


def test_another_worker_goes_on_where_the_first_has_stopped() -> None:
    whole, first = Sender(), Sender()
    times = [T0 + step * HALF_SECOND for step in range(8)]
    expected = [whole.send(at_us) for at_us in times]
    changelog: dict[str, OutputRecord] = {}
    for at_us in times[:3]:
        first.send(at_us)
        changelog |= {out.key: out for out in first.processor.state()}
    [saved] = changelog.values()
    assert (saved.topic, saved.key, saved.partition) == ("crop-state", "client|7", 0)
    second = Sender(offset=first.offset)
    record = Record("crop-state", 0, 0, saved.key.encode(), saved.value, saved.timestamp_ms)
    second.processor.restore(("crops", 0), first.offset, record)
    assert [second.send(at_us) for at_us in times[3:]] == expected[3:]


def test_the_state_of_a_track_that_is_over_is_a_tombstone() -> None:
    sender = Sender()
    sender.send()
    list(sender.processor.state())
    sender.send(T0 + US_PER_SECOND, ended=True)
    [tombstone] = sender.processor.state()
    assert (tombstone.key, tombstone.value) == ("client|7", None)
    saved, over = Sender(), Sender()
    saved.send()
    [state] = saved.processor.state()
    for value in (state.value, None):
        over.processor.restore(("crops", 0), 9, Record("crop-state", 0, 0, b"client|7", value, 0))
    assert outcomes(over.send(T0 + US_PER_SECOND))[0].track_id == track_id(
        "client", T0 + US_PER_SECOND, 7
    )


def test_state_that_cannot_be_used_begins_the_track_anew() -> None:
    good = Sender()
    good.send()
    [state] = good.processor.state()
    later = Record("crop-state", 0, 0, b"client|7", state.value, 0)
    broken = Record("crop-state", 0, 0, b"client|7", b"\xff", 0)
    for record, next_offset in ((later, 0), (broken, 1)):
        sender = Sender()
        sender.processor.restore(("crops", 0), next_offset, record)
        assert outcomes(sender.send(T0 + US_PER_SECOND))[0].track_id == track_id(
            "client", T0 + US_PER_SECOND, 7
        )


def test_tracks_of_a_partition_that_is_lost_are_forgotten() -> None:
    sender = Sender()
    sender.send()
    sender.processor.forget([("crops", 0)])
    assert list(sender.processor.state()) == []
    assert outcomes(sender.send(T0 + US_PER_SECOND))[0].track_id == track_id(
        "client", T0 + US_PER_SECOND, 7
    )

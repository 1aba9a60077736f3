"""Records about crops, for operators' programs: an erasure finds the pictures of a track."""

from ops.dead_letters.record_preview import preview_record
from ops.erasure.topic_search import frames_in
from schemas import sightline_pb2 as pb
from schemas.ids import track_id
from sightline.streaming.records import Record
from tests.golden import MESSAGES


def test_an_erasure_finds_every_crop_of_a_track_by_its_outcome() -> None:
    for name in ("CropOutcome.observed", "CropOutcome.refused"):
        outcome = MESSAGES[name]
        assert isinstance(outcome, pb.CropOutcome)
        record = Record("crop-outcomes", 0, 5, b"door", outcome.SerializeToString(), 0)
        assert frames_in(record, {outcome.track_id}) == [outcome.crop]
        assert frames_in(record, {track_id("another", 1, 1)}) == []


def test_crops_are_shown_to_people_without_their_pictures() -> None:
    for topic, name in (
        ("crops", "Crop"),
        ("crop-outcomes", "CropOutcome.observed"),
        ("crop-state", "CropTrackState"),
    ):
        fields = preview_record(topic, MESSAGES[name].SerializeToString())
        assert fields is not None and fields["camera_id"] == "door"
    crop = preview_record("crops", MESSAGES["Crop"].SerializeToString())
    assert crop is not None and crop["jpeg"] == "(4 bytes)"

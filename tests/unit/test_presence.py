"""Presence: records of tracks whatever their faces gave, and the matcher's sightings of them."""

from collections.abc import Mapping

import numpy as np
import pytest
from prometheus_client import REGISTRY

from schemas import ids
from schemas import sightline_pb2 as pb
from sightline.models.presence import ConfirmationRules, Presence, picture_quality
from sightline.runtime.settings.groups import EvidenceSettings
from tests.match_support import Site, Walk, gallery_person
from tests.unit.test_vision_pipeline import START, STEP, Camera, Worker

UNIDENTIFIED, ENDED = pb.Sighting.UNIDENTIFIED, pb.Sighting.ENDED


def unconfirmed(reason: str) -> float:
    labels = {"reason": reason}
    return REGISTRY.get_sample_value("sightline_tracks_unconfirmed_total", labels) or 0.0


def end_of(walk: Walk, refusals: Mapping[str, int], **more: object) -> pb.FaceEvent:
    """The end of a track of a person; refused at so many attempts, by reason."""
    event = walk.end()
    end = event.track_ended
    end.confirmed, end.observations, end.attempts = True, 0, sum(refusals.values())
    end.refusals.update(refusals)
    end.frame.CopyFrom(pb.Position(topic="frames.default", offset=7))
    for field, value in more.items():
        setattr(end, field, value)
    return event


def test_a_person_without_a_face_ends_with_a_picture_of_the_body_and_a_count_of_attempts() -> None:
    worker = Worker(min_face_px=100).take(Camera().film(50))
    (end,) = worker.ended
    assert end.confirmed and end.pack == "test"
    assert end.attempts == worker.faces.searches == sum(end.refusals.values()) > 2
    assert set(end.refusals) == {"small"} and 20 < end.face_px < 100
    (snapshot,) = worker.snapshots
    assert snapshot.kind == pb.EVIDENCE_KIND_BODY
    assert snapshot.frame == end.frame and end.width == 320
    assert (end.box.x2 - end.box.x1, end.box.y2 - end.box.y1) == (60, 180)


def test_a_track_with_a_picture_of_its_face_has_none_of_its_body() -> None:
    worker = Worker().take(Camera().film(50))
    assert {snapshot.kind for snapshot in worker.snapshots} == {pb.EVIDENCE_KIND_FACE}
    assert worker.ended[0].confirmed


@pytest.mark.parametrize(
    ("frames", "settings", "reason"),
    [
        (3, {}, "few"),
        (6, {"confirm_seconds": 1.0}, "short"),
        (50, {"confirm_score": 0.95}, "faint"),
    ],
)
def test_a_track_that_is_hardly_seen_is_no_person_and_is_counted(
    frames: int, settings: dict[str, float], reason: str
) -> None:
    before = unconfirmed(reason)
    worker = Worker(faces_only=False, min_face_px=100, **settings).take(Camera().film(frames))
    assert [end.confirmed for end in worker.ended] == [False]
    assert unconfirmed(reason) == before + 1


def test_a_track_goes_on_counting_with_the_worker_that_takes_it_over() -> None:
    rules = ConfirmationRules(EvidenceSettings())
    presence = Presence()
    frame = pb.Frame(width=640, height=360)
    for number in range(4):
        box = np.array([10 * number, 100, 10 * number + 50, 200], np.float32)
        presence.add_detection(box, 0.75, frame)
    assert presence.moved == 0.3  # of its height
    assert rules.doubt(presence, 400_000) is None
    assert rules.doubt(presence, 200_000) == "short"


def test_the_best_picture_of_a_body_is_whole_and_large() -> None:
    whole, cut, small, outside = (
        picture_quality(np.array(box, np.float32), 0.9, 640, 360)
        for box in ([10, 60, 60, 300], [10, 0, 60, 240], [10, 60, 20, 108], [-90, 0, -10, 90])
    )
    assert 0.9 > whole > cut > small > outside == 0.0


def test_everybody_without_a_face_has_a_sighting_that_says_what_was_seen() -> None:
    site, hood = Site(), Walk(1, "door", "site")
    (sighting,) = site.take(end_of(hood, {"turned": 12, "no_face": 2}))
    assert sighting.status == UNIDENTIFIED and not sighting.global_id and not sighting.name
    assert sighting.reason == "face turned away in 12 of 14 looks, no face visible in 2 of 14 looks"
    assert sighting.attempts == 14
    assert dict(sighting.refusals) == {"turned": 12, "no_face": 2}
    assert sighting.sighting_id == ids.sighting_id(hood.track_id, 0)
    assert sighting.decided_at_us == hood.end().track_ended.ended_at_us
    assert sighting.frame.offset == 7
    (small,) = site.take(end_of(Walk(2, "door", "site"), {"small": 3}, face_px=18.4))
    assert small.reason == "face too small (18 px at most) in 3 of 3 looks"


def test_the_same_end_delivered_again_says_the_same() -> None:
    hood, site = Walk(1, "door", "site"), Site()
    assert site.take(end_of(hood, {"turned": 3})) == site.take(end_of(hood, {"turned": 3}))


def test_a_track_that_was_hardly_seen_has_no_sighting() -> None:
    assert Site().take(end_of(Walk(1, "door", "site"), {"turned": 1}, confirmed=False)) == []


def test_a_face_that_was_not_enough_leaves_a_row_that_says_so() -> None:
    site, walk = Site(gallery_person(1, "Ann")), Walk(2, "door", "site")
    *_, last = site.take(walk.shot(0), end_of(walk, {"turned": 4}, observations=1, attempts=5))
    assert last.status == UNIDENTIFIED and last.global_id == 0
    assert last.reason.startswith("the track is over; 1 observation,")
    assert last.reason.endswith("; face turned away in 4 of 5 looks")
    assert last.frame == walk.shot(0).observation.frame
    assert not last.template


def test_somebody_named_stays_named_at_the_end() -> None:
    site, walk = Site(gallery_person(1, "Ann")), Walk(1, "door", "site")
    shots = [walk.shot(number) for number in range(3)]
    *_, last = site.take(*shots, end_of(walk, {"turned": 4}, observations=3))
    assert (last.status, last.name) == (ENDED, "Ann")


def test_an_identity_of_an_earlier_epoch_is_the_row_of_the_track() -> None:
    site, walk = Site(gallery_person(1, "Ann")), Walk(1, "door", "site")
    site.take(*(walk.shot(number) for number in range(3)))
    later = walk.shot(1000, epoch=1, likeness=0.2)
    *_, last = site.take(later, end_of(walk, {"turned": 4}, observations=4, ended_at_us=10**16))
    assert (last.status, last.epoch, last.global_id) == (ENDED, 1, 0)


def test_a_person_who_sits_with_their_back_to_the_camera_stays_who_they_are() -> None:
    site, walk = Site(gallery_person(1, "Ann")), Walk(1, "door", "site")
    site.take(*(walk.shot(number) for number in range(3)))
    site.take(Walk(5, "door", "site", at_s=3000).shot(0))
    *_, last = site.take(end_of(walk, {}, observations=3))
    assert (last.status, last.name) == (ENDED, "Ann")


def test_a_later_track_names_the_one_that_was_unidentified() -> None:
    site = Site()
    first, second = Walk(1, "door", "site"), Walk(1, "hall", "site", at_s=20)
    *_, unidentified = site.take(
        first.shot(0), first.shot(1), end_of(first, {"turned": 1}, observations=2)
    )
    assert unidentified.status == UNIDENTIFIED
    site.take(*second.whole(5))
    named = site.last(first)
    assert named.status == pb.Sighting.CHANGED and named.global_id == site.last(second).global_id
    assert named.decided_at_us >= unidentified.decided_at_us


def test_times_of_a_body_are_those_of_its_frames() -> None:
    worker = Worker(min_face_px=100).take(Camera().film(20))
    (end,) = worker.ended
    assert (end.started_at_us, end.ended_at_us) == (START + STEP, START + 19 * STEP)

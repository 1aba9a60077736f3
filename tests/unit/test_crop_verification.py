"""Tracks of crops are one person's too: a sender's number may pass to another body."""

from collections.abc import Sequence

import pytest

from api.client_tracks import ClientTracks
from processors.vision.crop_processor import CropProcessor
from schemas import sightline_pb2 as pb
from schemas.ids import track_id
from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.streaming.records import OutputRecord, Record
from tests.unit.test_crop_processor import T0, Sender, ends, observations, outcomes
from tests.unit.test_vision_pipeline import Vectors
from tests.unit.verification_support import embedding_of

ADA, BOB, CLEO = 1, 2, 3
SETTINGS = EvidenceSettings(observations=2, interval_seconds=0.5, verify_seconds=3)


class Faces(Vectors):
    """The face of the person that the test says."""

    dimension = 32

    def __init__(self) -> None:
        super().__init__()
        self.person = ADA

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        self.made += len(faces)
        return [embedding_of(self.person) for _ in faces]


class Client(Sender):
    """A sender that keeps the decisions on its tracks, and says who is in each crop."""

    def __init__(self, offset: int = 0) -> None:
        super().__init__(offset=offset)
        self.looks = Faces()
        pack = ModelPack("test", None, self.faces, self.looks)
        self.processor = CropProcessor(lambda: pack, SETTINGS)
        self.decided: dict[int, str] = {}

    def show(
        self, person: int, after: float, number: int = 7, *, reply: bool = True
    ) -> list[OutputRecord]:
        """Send a crop of a person some seconds after the first crop."""
        self.looks.person = person
        at_us = T0 + round(after * US_PER_SECOND)
        decided = self.decided.get(number, "")
        outs = self.send(at_us, number, decided=decided, reply=reply)
        self.decided[number] = outcomes(outs)[0].track_id
        return outs

    def settle(self, person: int = ADA, number: int = 7, *, reply: bool = True) -> str:
        """Send the crops that settle a track; return its id."""
        for after in (0.0, 0.5):
            self.show(person, after, number, reply=reply)
        return self.decided[number]


@pytest.mark.parametrize("reply", [True, False])
def test_somebody_else_under_a_number_is_a_track_of_their_own(reply: bool) -> None:
    client = Client()
    ada = client.settle(reply=reply)
    assert ends(client.show(BOB, 4, reply=reply)) == [], "one face proves nothing"
    outs = client.show(BOB, 4.5, reply=reply)
    [end] = ends(outs)
    assert (end.track_id, end.ended_at_us) == (ada, T0 + US_PER_SECOND // 2)
    assert (end.frames, end.observations) == (2, 2)
    bob = track_id("client", T0 + 4 * US_PER_SECOND, 7)
    assert {shot.track_id for shot in observations(outs)} == {bob}
    assert len(observations(outs)) == 1 + reply
    [outcome] = outcomes(outs)
    assert (outcome.track_id, outcome.observation_id) == (bob, observations(outs)[0].observation_id)
    [state] = client.processor.state()
    assert pb.CropTrackState.FromString(state.value or b"").track.track_id == bob
    [end] = ends(client.send(T0 + 6 * US_PER_SECOND, ended=True))
    assert (end.track_id, end.started_at_us) == (bob, T0 + 4 * US_PER_SECOND)
    assert end.frames == 2


def test_a_settled_track_is_verified_every_few_seconds_and_says_when() -> None:
    client = Client()
    ada = client.settle()
    for after in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        outs = client.show(ADA, after)
        assert observations(outs) == []
        [outcome] = outcomes(outs)
        assert (outcome.track_id, outcome.refusal) == (ada, "")
        assert outcome.next_look_us > T0 + after * US_PER_SECOND
    assert client.looks.made == 2 + 2


def test_one_odd_crop_splits_nothing_and_the_next_is_looked_at_soon() -> None:
    client = Client()
    ada = client.settle()
    [outcome] = outcomes(client.show(BOB, 4))
    assert outcome.next_look_us <= T0 + 4.5 * US_PER_SECOND
    outs = client.show(ADA, 4.5)
    assert ends(outs) == [] and outcomes(outs)[0].track_id == ada


def test_a_crop_after_a_pause_is_compared_at_once() -> None:
    client = Client()
    client.settle()
    before = client.looks.made
    client.show(ADA, 2.0)
    assert client.looks.made == before
    client.show(BOB, 4.2, reply=False)
    client.show(BOB, 4.4, reply=False)
    [end] = ends(client.outs)
    assert end.ended_at_us == T0 + 2 * US_PER_SECOND, "until then nothing was strange"


def test_a_face_that_cannot_be_used_keeps_the_decision_of_a_settled_track() -> None:
    client = Client()
    ada = client.settle()
    client.faces.faces = []
    [outcome] = outcomes(client.show(ADA, 4))
    assert (outcome.track_id, outcome.refusal, outcome.observation_id) == (ada, "", "")
    unsettled = Client()
    unsettled.faces.faces = []
    assert outcomes(unsettled.show(ADA, 0))[0].refusal == "no_face"


def test_two_numbers_that_a_sender_exchanges_are_exchanged_back() -> None:
    client = Client()
    ada, bob = client.settle(ADA, 1), client.settle(BOB, 2)
    client.show(BOB, 4, 1)
    outs = client.show(ADA, 4.1, 2)
    assert ends(client.outs) == []
    assert client.decided[2] == ada, "the second face settles it"
    assert {shot.track_id for shot in observations(outs)} == {ada}, "its sender gets an answer"
    assert client.show(BOB, 4.5, 1) and client.decided[1] == bob
    saved = [pb.CropTrackState.FromString(out.value or b"") for out in client.processor.state()]
    assert {state.track.number: state.track.track_id for state in saved} == {1: bob, 2: ada}


def test_another_worker_verifies_as_the_first_would_have() -> None:
    shown = [(ADA, 0.0), (ADA, 0.5), (BOB, 4.0), (BOB, 4.5), (BOB, 5.0), (CLEO, 9.0), (CLEO, 9.5)]
    whole = Client()
    expected = [whole.show(*crop) for crop in shown]
    outs = []
    client = Client()
    for crop in shown:
        following = Client(offset=client.offset)
        following.decided = client.decided
        for state in client.processor.state():
            record = Record("crop-state", 0, 0, state.key.encode(), state.value, 0)
            following.processor.restore(("crops", 0), client.offset, record)
        client = following
        outs.append(client.show(*crop))
    assert outs == expected
    assert len(ends(whole.outs)) == 2


def test_a_client_keeps_the_decisions_on_tracks_that_vision_exchanges() -> None:
    tracks = ClientTracks(US_PER_SECOND)
    first = tracks.request_track("a", "site", 1, T0)
    second = tracks.request_track("a", "site", 2, T0)
    for number, name in ((1, "ada"), (2, "bob"), (1, "bob"), (2, "ada")):
        tracks.apply_outcome(pb.CropOutcome(camera_id="a", track_number=number, track_id=name))
    for name, person in (("ada", ADA), ("bob", BOB)):
        tracks.apply_sighting(pb.Sighting(track_id=name, global_id=person))
    assert first.sighting is not None and first.sighting.global_id == BOB
    assert second.sighting is not None and second.sighting.global_id == ADA

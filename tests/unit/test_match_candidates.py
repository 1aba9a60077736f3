"""Candidates come before the decision: the step names what it lacks, and searches nothing."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.match.candidates import CandidateAnswer, CandidateQuery, Population
from processors.match.decision.step import Step, begin
from processors.match.index.candidate_search import IndexSearch
from processors.match.site_matcher import decide_event
from processors.match.state.site_state import SiteState
from schemas import ids
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import (
    Evidence,
    EvidenceKind,
    Observation,
    combine,
    mean_of,
    score_of,
)
from sightline.runtime.errors import PoisonRecord
from tests.match_support import PACK, Site, Walk, face, gallery_person, shot_of

ALL_COMMITTED = 10**9


def walk(person: int, at_s: float = 0.0, camera: str = "door", number: int = 1) -> Walk:
    """A track of its own number in the one motion event of a camera."""
    track = Walk(person, camera, "site", at_s)
    track.track_id = ids.track_id(camera, track.start_us, number)
    return track


def of_one_event(number: int, event: pb.FaceEvent) -> pb.FaceEvent:
    inner = event.observation if event.HasField("observation") else event.track_ended
    inner.track_number = number
    inner.motion_event_id = ids.motion_event_id(inner.camera_id, 1)
    return event


def search_of(site: Site) -> IndexSearch:
    return IndexSearch(site.gallery, site.unknown_index)


def query(site: Site, vector_of: int, pack: str = PACK, **more: object) -> CandidateQuery:
    evidence = combine([Observation("a", shot_of(vector_of, 1), 0.9)], 0.4)
    return CandidateQuery("track", "template", pack, evidence, **more)  # type: ignore[arg-type]


class Recorded:
    """A search by another machine: its answers are records, and nothing is asked twice."""

    def __init__(self, answers: Mapping[str, CandidateAnswer]) -> None:
        self.answers = answers

    def check(self, pack: str, embedding: bytes) -> None:
        """Nothing to compare with."""

    def search(self, query: CandidateQuery) -> CandidateAnswer:
        return self.answers[query.track_id]


class Recording(IndexSearch):
    """Today's search, with a note of every query and answer."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.gallery, site.unknown_index)
        self.asked: list[str] = []
        self.answers: dict[str, CandidateAnswer] = {}

    def search(self, query: CandidateQuery) -> CandidateAnswer:
        self.asked.append(query.track_id)
        answer = self.answers[query.track_id] = super().search(query)
        return answer


def decided(site: Site, event: pb.FaceEvent, search: IndexSearch | Recorded) -> Step:
    return decide_event(
        event, site.state, site.reference, site.rules, search, redelivered_from=ALL_COMMITTED
    )


def bare_step(
    site: Site, event: pb.FaceEvent, answers: Mapping[str, CandidateAnswer]
) -> Step | CandidateQuery:
    begun = begin(event, site.state, site.reference, site.rules, redelivered_from=ALL_COMMITTED)
    return begun if isinstance(begun, Step) else begun.finish(answers)


def as_bytes(outcome: Step) -> tuple[list[bytes], list[tuple[bytes, bytes | None]]]:
    sightings = [sighting.SerializeToString(deterministic=True) for sighting in outcome.sightings]
    return sightings, list(outcome.changes.records("site"))


def test_a_step_without_candidates_asks_for_them_and_changes_nothing() -> None:
    site, ann = Site(gallery_person(1, "Ann")), walk(1)
    query = bare_step(site, ann.shot(0), {})
    assert isinstance(query, CandidateQuery)
    assert (query.track_id, query.pack, query.always) == (ann.track_id, PACK, ())
    assert query.template_id == ids.sighting_id(ann.track_id, 0)
    assert query.evidence.kind is EvidenceKind.FACE
    assert site.state.track(ann.track_id) is None
    outcome = bare_step(site, ann.shot(0), {ann.track_id: search_of(site).search(query)})
    assert isinstance(outcome, Step)
    assert [sighting.name for sighting in outcome.sightings] == ["Ann"]


def test_the_answer_alone_says_who_it_is() -> None:
    """The gallery has only Ann; the answer, as of another machine, says Bea."""
    site, track = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea")), walk(1)
    own_query = bare_step(site, track.shot(0), {})
    assert isinstance(own_query, CandidateQuery)
    bea = search_of(site).search(query(site, 2)).enrolled
    answer = CandidateAnswer(own_query, bea, Population([], 0))
    outcome = decided(site, track.shot(0), Recorded({track.track_id: answer}))
    assert [sighting.name for sighting in outcome.sightings] == ["Bea"]


def test_a_duplicate_and_an_event_of_an_erased_track_ask_nobody() -> None:
    site, ann = Site(gallery_person(1, "Ann")), walk(1)
    site.take(ann.shot(0))
    search = Recording(site)
    assert decided(site, ann.shot(0), search).sightings[0].again
    erased = walk(3, number=9)
    site.reference.corrections.erase_tracks([erased.track_id])
    assert decided(site, erased.shot(0), search).sightings == ()
    assert search.asked == []


def test_a_rematch_asks_for_the_open_track_beside_it_and_for_no_other() -> None:
    site = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea"))
    wrong, ann, bea = walk(1), walk(1, 0.1, number=2), walk(2, 0.1, number=3)
    site.take(of_one_event(1, wrong.shot(0, likeness=0.95)), of_one_event(3, bea.shot(0)))
    site.take(*(of_one_event(2, ann.shot(number, likeness=0.65)) for number in range(3)))
    assert site.last(ann).name == "", "another track has the better evidence"
    asked = []
    for number in (1, 2, 3):  # the first track turns out to be another person
        event = of_one_event(1, wrong.shot(number, vector=shot_of(9, number)))
        search = Recording(site)
        decided(site, event, search)
        site.take(event)
        asked.append(search.asked)
    assert site.last(ann).name == "Ann"
    assert all(track_ids[0] == wrong.track_id for track_ids in asked), (
        "the event's own track comes first"
    )
    assert [wrong.track_id, ann.track_id] in asked
    assert all(bea.track_id not in track_ids for track_ids in asked)


tracks = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([0.0, 0.1, 0.5, 3.0]),
        st.sampled_from([0.6, 0.7, 0.9]),
        st.integers(1, 4),
    ),
    min_size=2,
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(tracks, st.randoms(use_true_random=False))
def test_a_replay_by_the_recorded_answers_decides_the_same_and_searches_nothing(
    walks: list[tuple[int, float, float, int]], chance: random.Random
) -> None:
    remaining = []
    for number, (person, at_s, likeness, count) in enumerate(walks, 1):
        track = walk(person, at_s, number=number)
        events = [track.shot(shot, likeness=likeness) for shot in range(count)]
        remaining.append([of_one_event(number, event) for event in (*events, track.end())])
    site = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea"))
    replayed = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea"))
    replayed.state = SiteState("site", replayed.reference)  # no index follows it
    while any(remaining):
        event = chance.choice([events for events in remaining if events]).pop(0)
        search = Recording(site)
        outcome = decided(site, event, search)
        assert len(search.asked) == len(set(search.asked)), "a track was asked about twice"
        repeated = decided(replayed, event, Recorded(search.answers))
        assert as_bytes(repeated) == as_bytes(outcome)
        site.state.apply(outcome.changes)
        replayed.state.apply(repeated.changes)


@given(
    st.dictionaries(st.integers(1, 30), st.integers(1, 3), max_size=20),
    st.integers(0, 30),
    st.lists(st.integers(1, 30), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_an_answer_is_what_the_contract_says(
    templates: dict[int, int], queried: int, always: list[int]
) -> None:
    site = Site()
    vectors = {}
    for person, count in templates.items():
        record = gallery_person(person, f"P{person}")
        person_vectors = vectors[record.person_id] = [
            # Some of one face, so that scores are equal.
            face(person % 7) if number == 0 else shot_of(person, number)
            for number in range(count)
        ]
        del record.templates[:]
        for number, vector in enumerate(person_vectors):
            record.templates.add(template_id=str(number), pack=PACK, vector=vector.tobytes())
        site.enrol(record)
    keys = tuple(gallery_person(person, "").person_id for person in always)
    answer = search_of(site).search(query(site, queried, always=keys))
    vector = answer.query.evidence.template
    scores = {
        key: score_of(vector, person_vectors, mean_of(person_vectors))
        for key, person_vectors in vectors.items()
    }
    candidates = answer.enrolled.candidates
    assert answer.enrolled.people == len(templates)
    assert [candidate.score for candidate in candidates[:5]] == pytest.approx(
        sorted(scores.values(), reverse=True)[:5], abs=1e-5
    )
    assert list(candidates) == sorted(
        candidates, key=lambda candidate: (-candidate.score, candidate.key)
    )
    assert all(
        candidate.score == pytest.approx(scores[candidate.key], abs=1e-5)
        for candidate in candidates
    )
    assert {key for key in keys if key in scores} <= {candidate.key for candidate in candidates}
    assert all(candidate.key in keys for candidate in candidates[5:])
    assert list(answer.unknown.candidates) == []


def test_people_who_are_always_wanted_follow_however_many_come_nearer() -> None:
    people = [gallery_person(person, f"P{person}") for person in range(12)]
    search = search_of(Site(*people))
    far = people[9].person_id
    nearest = search.search(query(Site(), 1)).enrolled.candidates
    assert len(nearest) == 5
    assert far not in {candidate.key for candidate in nearest}
    wanted = search.search(query(Site(), 1, always=(far, "nobody"))).enrolled.candidates
    assert list(wanted[:5]) == list(nearest)
    assert [candidate.key for candidate in wanted[5:]] == [far]


def test_a_template_of_the_track_itself_does_not_count() -> None:
    site, met = Site(), walk(1)
    person = site.take(*met.whole())[-1].global_id
    evidence = combine([Observation("a", shot_of(1, 1), 0.9)], 0.4)
    own = CandidateQuery(met.track_id, ids.sighting_id(met.track_id, 0), PACK, evidence)
    other = CandidateQuery("another", "template", PACK, evidence)
    assert search_of(site).search(own).unknown.candidates == []
    assert [candidate.key for candidate in search_of(site).search(other).unknown.candidates] == [
        str(person)
    ]


def test_what_a_step_returns_is_searched_once_it_is_applied() -> None:
    site, met = Site(), walk(1)
    site.take(met.shot(0), met.shot(1))
    founded = decided(site, met.shot(2), search_of(site))
    assert founded.changes.unknown_persons
    assert search_of(site).search(query(site, 1)).unknown.people == 0
    site.state.apply(founded.changes)
    assert search_of(site).search(query(site, 1)).unknown.people == 1


def test_packs_and_kinds_never_meet() -> None:
    record = gallery_person(1, "Ann")
    record.templates.add(
        template_id="body", pack=PACK, vector=face(2).tobytes(), kind=pb.EVIDENCE_KIND_BODY
    )
    site = Site(record)
    assert site.gallery.indexes.templates == 1, "a body is in no index of faces"
    assert search_of(site).search(query(site, 1, pack="another")).enrolled.candidates == []
    body = CandidateQuery(
        "track", "template", PACK, Evidence(face(1), ("a",), "a", EvidenceKind.BODY)
    )
    with pytest.raises(ValueError, match="BODY"):
        search_of(site).search(body)


def test_evidence_of_two_kinds_is_not_combined() -> None:
    mixed = [Observation("a", face(1), 0.9), Observation("b", face(1), 0.9, EvidenceKind.BODY)]
    with pytest.raises(ValueError, match="2 kinds"):
        combine(mixed, 0.4)
    assert combine(mixed[1:], 0.4).kind is EvidenceKind.BODY


def test_the_kind_travels_and_old_payloads_are_of_faces() -> None:
    names = {kind.name: kind.value for kind in EvidenceKind}
    assert {f"EVIDENCE_KIND_{name}": number for name, number in names.items()} == dict(
        pb.EvidenceKind.items()
    )
    site = Site()
    (*_, ended) = site.take(*walk(1).whole())
    assert ended.evidence_kind == pb.EVIDENCE_KIND_FACE
    (person,) = [value for key, value in site.changelog.items() if key.startswith(b"p|")]
    assert [template.kind for template in pb.UnknownPerson.FromString(person).templates] == [0]


@pytest.mark.parametrize("length", [1.0, 0.5])
def test_an_embedding_of_another_dimension_is_refused_before_the_step(length: float) -> None:
    site = Site(gallery_person(1, "Ann"))
    with pytest.raises(PoisonRecord) as caught:
        decided(site, walk(1).shot(0, vector=length * face(1)[:64]), search_of(site))
    assert caught.value.reason == "bad_dimension"
    late = walk(1).shot(0, vector=face(1)[:64])  # of an epoch that is decided and over
    site.take(*(walk(1).shot(number, epoch=1) for number in range(3)))
    with pytest.raises(PoisonRecord):
        decided(site, late, search_of(site))

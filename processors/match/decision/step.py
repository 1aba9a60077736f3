"""Pure decision step: one event and the state of its site into sightings and changes.

Nothing is searched here: candidates are an argument of `PendingStep.finish`, which returns a
`CandidateQuery` for a track that lacks them (`processors.match.candidates`). An event that comes
again after its changes were stored has been decided: its sightings were in Kafka before. Then the
track's present decision is repeated for a client that waits for it, marked as no news; by now it
may rest on more observations.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from processors.match.candidates import CandidateAnswer, CandidateQuery
from processors.match.decision import sighting_messages
from processors.match.decision.decision_round import CandidatesMissing, DecisionRound
from processors.match.decision.fixtures import (
    STILL,
    fixture_sighting,
    is_still,
    recognised_fixture,
    with_end,
)
from processors.match.decision.identification import DecisionRules
from processors.match.decision.unidentified import unidentified
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.site_state import Changes, SiteState
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US_PER_SECOND

MAX_OBSERVATIONS = 16
"""Observations of one epoch of a track; vision settles a track long before."""

_DAY_US = 86_400 * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class Step:
    """Outcome of an event. The sightings are delivered before the changes are stored."""

    sightings: tuple[pb.Sighting, ...] = ()
    changes: Changes = field(default_factory=Changes)


def inner_of(event: pb.FaceEvent) -> pb.FaceObservation | pb.TrackEnded:
    """Return the message inside an event."""
    return event.observation if event.HasField("observation") else event.track_ended


@dataclass(frozen=True, slots=True, eq=False)
class PendingStep:
    """Event whose own track has to be decided: the step as far as it needs no candidates."""

    event: pb.FaceEvent
    track: pb.TrackState
    """Own track with the event's observation or end."""
    before: pb.Sighting | None
    """Sighting of the own track and epoch before the event."""
    now_us: int
    """Capture time of the event."""
    site: SiteState
    reference: ReferenceData
    rules: DecisionRules
    redelivered_from: int
    latest_us: int | None

    def finish(self, answers: Mapping[str, CandidateAnswer]) -> Step | CandidateQuery:
        """Decide with the candidates by track id, or return the query for those that are missing.

        Args:
            answers: Answers to all queries of this event so far.
        """
        decisions = DecisionRound(self.site, self.reference, self.rules, self.now_us, answers)
        try:
            decisions.decide(self.track, self.before)
        except CandidatesMissing as missing:
            return missing.query
        outcome = _outcome(decisions, self.site)
        is_observed = self.event.HasField("observation")
        return self._with_expiry(outcome, self.event.observation) if is_observed else outcome

    def _with_expiry(self, outcome: Step, observation: pb.FaceObservation) -> Step:
        """Add the tracks and unknown persons that expire by the clock of the camera."""
        camera_id, now_us = observation.camera_id, observation.captured_at_us
        if self.latest_us is not None and now_us > self.latest_us:
            return outcome  # a clock that is wrong makes nobody old
        expired = [
            track_id
            for track_id in self.site.expired(camera_id, now_us, self.redelivered_from)
            if track_id != observation.track_id
        ]
        forgotten = self.site.unknown_persons.expired(
            camera_id, now_us, round(self.rules.unknown_person_ttl_days * _DAY_US)
        )
        tracks = dict.fromkeys(expired) | outcome.changes.tracks
        persons = forgotten | outcome.changes.unknown_persons
        return Step(outcome.sightings, Changes(tracks, persons, outcome.changes.fixtures))


def begin(
    event: pb.FaceEvent,
    site: SiteState,
    reference: ReferenceData,
    rules: DecisionRules,
    *,
    redelivered_from: int,
    latest_us: int | None = None,
) -> Step | PendingStep:
    """Begin the step of an event; an event that leads to no decision is finished at once.

    Args:
        event: An observation, or the end of a track that was not erased.
        site: State of the site; it is not changed.
        reference: Enrolled people and facts.
        rules: Settings of the decision.
        redelivered_from: Source offset from which on events may be delivered again.
        latest_us: Time that no right capture time is beyond.
    """
    inner = inner_of(event)
    track = site.track(inner.track_id)
    if isinstance(inner, pb.FaceObservation):
        begun, now_us = _observed(inner, track), inner.captured_at_us
    else:
        begun, now_us = _ended(inner, track, site), inner.ended_at_us
    if isinstance(begun, Step):
        return begun
    now, before = begun
    return PendingStep(
        event, now, before, now_us, site, reference, rules, redelivered_from, latest_us
    )


_Begun = Step | tuple[pb.TrackState, pb.Sighting | None]
"""Finished step, or the own track with its sighting before the event."""


def _observed(observation: pb.FaceObservation, track: pb.TrackState | None) -> _Begun:
    if track is not None and _is_duplicate(observation, track):
        return Step((sighting_messages.repeated(track.decided),))
    if track is not None and observation.epoch < track.decided.epoch and not _is_over(track):
        return Step()  # of an epoch that was decided and stored before
    now = pb.TrackState(
        track_id=observation.track_id, site_id=observation.site_id, shots=[observation]
    )
    before = None
    if track is not None and not _is_over(track):
        now.holds, now.holds_by = track.holds, track.holds_by
        now.identified = track.identified
        if observation.epoch == track.decided.epoch:
            del now.shots[:]
            now.shots.extend(_with_observation(track.shots, observation))
            before = track.decided
        else:
            now.identified |= bool(track.decided.global_id)
    return now, before


def _ended(end: pb.TrackEnded, track: pb.TrackState | None, site: SiteState) -> _Begun:
    if track is None:
        # Without an observation, or so long after the last that its decision is forgotten.
        return _unobserved(end, site) if end.confirmed and not end.observations else Step()
    if _is_over(track):
        return Step((sighting_messages.repeated(track.decided),))
    now = deepcopy(track)
    now.ended_at_us = end.ended_at_us
    now.end.CopyFrom(end)
    return now, track.decided


def _outcome(decisions: DecisionRound, site: SiteState) -> Step:
    """Return the sightings and changes of a round.

    The event's own track is the last: until it is decided no two tracks may be one person.
    """
    sightings: list[pb.Sighting] = []
    tracks: dict[str, pb.TrackState | None] = {}
    fixtures: dict[str, pb.CameraFixtures] = {}
    for track_id, (before, now) in decisions.decided().items():
        was_over = before is not None and before.status == pb.Sighting.ENDED
        is_changed = sighting_messages.is_changed(before, now.decided)
        tracks[track_id] = stored = _over(now) if now.ended_at_us else now
        is_picture = _is_picture(now, is_released=was_over and is_changed)
        if now.end.confirmed and (is_picture or not was_over):
            fixtures |= _noted(now.end, {**site.fixtures, **fixtures}, is_picture=is_picture)
        if _is_unidentified(now) and (is_changed or not was_over):
            sighting = _without_identity(now.end, site, now.decided, is_picture=is_picture)
            stored.decided.decided_at_us = sighting.decided_at_us
            sightings.append(sighting)
            continue
        if is_changed:
            sightings.append(now.decided)
        if now.ended_at_us and not was_over:
            sightings.append(stored.decided)
    return Step(tuple(sightings), Changes(tracks, decisions.changed_persons(), fixtures))


def _is_picture(track: pb.TrackState, *, is_released: bool) -> bool:
    """Return whether a track that is over never moved, and another was the person that it shows.

    `is_released`: it was over before, and has lost its person to the other track now.
    """
    is_other = is_released or bool(track.waits_for)
    return is_other and is_still(track) and not track.decided.global_id


def _unobserved(end: pb.TrackEnded, site: SiteState) -> Step:
    """Return the step of a track that is over and gave no observation."""
    noted = _noted(end, site.fixtures, is_picture=False)
    return Step((_without_identity(end, site),), Changes(fixtures=noted))


def _without_identity(
    end: pb.TrackEnded,
    site: SiteState,
    decided: pb.Sighting | None = None,
    *,
    is_picture: bool = False,
) -> pb.Sighting:
    """Return the sighting of a track without an identity: of somebody, or of a fixture."""
    sighting = unidentified(end, decided)
    if is_picture:
        picture = pb.Fixture(is_picture=True, first_seen_us=end.started_at_us)
        return fixture_sighting(sighting, picture)
    fixture = recognised_fixture(site.fixtures.get(end.camera_id), end.motion_event_id, end.box)
    is_fixture = fixture is not None and end.moved < STILL
    return fixture_sighting(sighting, fixture) if fixture and is_fixture else sighting


def _noted(
    end: pb.TrackEnded, fixtures: Mapping[str, pb.CameraFixtures], *, is_picture: bool
) -> dict[str, pb.CameraFixtures]:
    """Return the fixtures of the camera if the end of a track changes them."""
    changed = with_end(fixtures.get(end.camera_id), end, is_picture=is_picture)
    return {} if changed is None else {end.camera_id: changed}


def _is_unidentified(track: pb.TrackState) -> bool:
    """Return whether a track is over, was a person, and has been given no identity."""
    return (
        bool(track.ended_at_us)
        and track.end.confirmed
        and not (track.identified or track.decided.global_id)
    )


def _over(track: pb.TrackState) -> pb.TrackState:
    """Return a track that has ended, as it is stored.

    The rest of its observations tells a record delivered twice from the track in a replay.
    """
    stored = deepcopy(track)
    stored.decided.CopyFrom(sighting_messages.ended(track.decided))
    del stored.waits_for[:]
    for observation in stored.shots:
        observation.ClearField("embedding")
    return stored


def _is_duplicate(observation: pb.FaceObservation, track: pb.TrackState) -> bool:
    """Return whether an observation was delivered before, from the same frame.

    A replay has the same observations from other frames.
    """
    return any(
        present.observation_id == observation.observation_id and present.frame == observation.frame
        for present in track.shots
    )


def _is_over(track: pb.TrackState) -> bool:
    return track.decided.status == pb.Sighting.ENDED


def _with_observation(
    observations: Sequence[pb.FaceObservation], observation: pb.FaceObservation
) -> list[pb.FaceObservation]:
    """Return the observations with one more, of its pack alone; the newest is last.

    Of more than `MAX_OBSERVATIONS` the worst of the older ones goes.
    """
    rest = [
        present
        for present in observations
        if present.pack == observation.pack
        and present.observation_id != observation.observation_id
        and len(present.embedding) == len(observation.embedding)
    ]
    if len(rest) >= MAX_OBSERVATIONS:
        rest.remove(min(rest, key=lambda present: present.quality.overall))
    return [*rest, observation]

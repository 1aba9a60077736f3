"""One event of a site: what is said about its tracks, and what the site remembers of it.

Pure: (event, state, what is known) in, (sightings, changes) out. An event that comes again after
its changes were stored has been answered: what it led to was in Kafka before. Then the track's
present decision is told to who asks, marked as no news; by now it may rest on more shots.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.match import sighting
from processors.match.decide import Rules
from processors.match.known import Known
from processors.match.state import Changes, SiteState
from processors.match.turn import Turn
from processors.match.vectors import vector_of
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US

MAX_SHOTS = 16
"""Of one epoch of a track; vision settles it long before."""

_DAY_US = 86_400 * US


@dataclass(frozen=True, slots=True)
class Step:
    """What an event leads to; the sightings are out before the changes are stored."""

    sightings: tuple[pb.Sighting, ...] = ()
    changes: Changes = field(default_factory=Changes)


def inner_of(event: pb.FaceEvent) -> pb.FaceObservation | pb.TrackEnded:
    """What an event tells."""
    return event.observation if event.HasField("observation") else event.track_ended


def step(event: pb.FaceEvent, site: SiteState, known: Known, rules: Rules, *, settled: int) -> Step:
    """Process one event. Raises InvalidRecord for a vector that cannot be compared.

    `settled`: the source offset from which on events may be delivered again.
    """
    if known.overlay.is_erased_track(inner_of(event).track_id):
        return Step()
    if event.HasField("observation"):
        return _observed(event.observation, site, known, rules, settled)
    return _ended(event.track_ended, site, known, rules)


def _observed(
    shot: pb.FaceObservation, site: SiteState, known: Known, rules: Rules, settled: int
) -> Step:
    for dimension in (known.gallery.dimension(shot.pack), site.strangers.dimension(shot.pack)):
        vector_of(shot.embedding, dimension)
    track = site.track(shot.track_id)
    if track is not None and _is_known(shot, track):
        return Step((sighting.told_before(track.decided),))
    if track is not None and shot.epoch < track.decided.epoch and not _is_over(track):
        return Step()  # of an epoch that was decided and stored before
    now = pb.TrackState(track_id=shot.track_id, site_id=shot.site_id, shots=[shot])
    before = None
    if track is not None and not _is_over(track):
        now.holds, now.holds_by = track.holds, track.holds_by
        if shot.epoch == track.decided.epoch:
            del now.shots[:]
            now.shots.extend(_with_shot(track.shots, shot))
            before = track.decided
    turn = Turn(site, known, rules, shot.captured_at_us)
    turn.decide(now, before)
    expired = [
        one
        for one in site.expired(shot.camera_id, shot.captured_at_us, settled)
        if one != shot.track_id
    ]
    forgotten = site.strangers.forgettable(
        shot.camera_id, shot.captured_at_us, round(rules.forget_days * _DAY_US)
    )
    done = _done(turn)
    return Step(
        done.sightings,
        Changes(dict.fromkeys(expired) | done.changes.tracks, forgotten | done.changes.strangers),
    )


def _ended(end: pb.TrackEnded, site: SiteState, known: Known, rules: Rules) -> Step:
    track = site.track(end.track_id)
    if track is None:
        return Step()  # nobody saw a face of it
    if _is_over(track):
        return Step((sighting.told_before(track.decided),))
    now = pb.TrackState()
    now.CopyFrom(track)
    now.ended_at_us = end.ended_at_us
    turn = Turn(site, known, rules, end.ended_at_us)
    turn.decide(now, track.decided)
    return _done(turn)


def _done(turn: Turn) -> Step:
    """What a turn says and changes; of the event's own track last, so that no two are one."""
    said: list[pb.Sighting] = []
    tracks: dict[str, pb.TrackState | None] = {}
    for track_id, (before, now) in turn.decided().items():
        was_over = before is not None and before.status == pb.Sighting.ENDED
        if sighting.is_news(before, now.decided):
            said.append(now.decided)
        tracks[track_id] = kept = _over(now) if now.ended_at_us else now
        if now.ended_at_us and not was_over:
            said.append(kept.decided)
    return Step(tuple(said), Changes(tracks, turn.learned()))


def _over(track: pb.TrackState) -> pb.TrackState:
    """A track that has ended, as it is kept. What is left of its shots tells a record delivered
    twice from the track seen again in a replay.
    """
    now = pb.TrackState()
    now.CopyFrom(track)
    now.decided.CopyFrom(sighting.again(track.decided, pb.Sighting.ENDED))
    del now.waits_for[:]
    for shot in now.shots:
        shot.ClearField("embedding")
    return now


def _is_known(shot: pb.FaceObservation, track: pb.TrackState) -> bool:
    """Delivered before, from the same frame; a replay has the same shots from other frames."""
    return any(
        one.observation_id == shot.observation_id and one.frame == shot.frame for one in track.shots
    )


def _is_over(track: pb.TrackState) -> bool:
    return track.decided.status == pb.Sighting.ENDED


def _with_shot(
    shots: Sequence[pb.FaceObservation], shot: pb.FaceObservation
) -> list[pb.FaceObservation]:
    """The shots with one more, of its pack alone, the best that are allowed; the newest is last."""
    kept = [
        one
        for one in shots
        if one.pack == shot.pack
        and one.observation_id != shot.observation_id
        and len(one.embedding) == len(shot.embedding)
    ]
    if len(kept) >= MAX_SHOTS:
        kept.remove(min(kept, key=lambda one: one.quality.overall))
    return [*kept, shot]

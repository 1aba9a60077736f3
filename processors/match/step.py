"""One event of a site: what is said about its track, and what the site remembers of it.

Pure: (event, state, gallery) in, (sightings, changes) out. Doing an event again after its
changes were stored says the same again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.match.decide import Decision, Held, Rules, decide
from processors.match.gallery import Gallery
from processors.match.state import Changes, SiteState, with_template, without_template
from processors.match.vectors import bytes_of, vector_of
from schemas import ids
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Shot, combine
from sightline.vision.scores import score_scale

MAX_SHOTS = 16
"""Of one epoch of a track; vision settles it long before."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an event leads to; the sightings are out before the changes are stored."""

    sightings: tuple[pb.Sighting, ...] = ()
    changes: Changes = field(default_factory=Changes)


def step(
    event: pb.FaceEvent, site: SiteState, gallery: Gallery, rules: Rules, *, settled: int
) -> Step:
    """Process one event. Raises InvalidRecord for a vector that cannot be compared.

    `settled`: the source offset from which on events may be delivered again.
    """
    if event.WhichOneof("event") == "observation":
        return _observed(event.observation, site, gallery, rules, settled)
    return _ended(event.track_ended, site, gallery, rules)


def _observed(
    shot: pb.FaceObservation, site: SiteState, gallery: Gallery, rules: Rules, settled: int
) -> Step:
    for dimension in (gallery.dimension(shot.pack), site.dimension(shot.pack)):
        vector_of(shot.embedding, dimension)
    track = site.track(shot.track_id)
    if track is not None and _is_known(shot, track):
        return Step((track.decided,))
    if track is not None and shot.epoch < track.decided.epoch and not _is_over(track):
        return Step()  # of an epoch that was decided and stored before
    if track is None or shot.epoch > track.decided.epoch or _is_over(track):
        shots, before = [shot], None
    else:
        shots, before = _with_shot(track.shots, shot), track.decided
    sighting, changes = _decided(shots, before, site, gallery, rules)
    expired = site.expired(shot.camera_id, shot.captured_at_us, settled)
    changes.tracks.update(dict.fromkeys(expired))
    changes.tracks[shot.track_id] = _track(shots, sighting)
    return Step((sighting,) if _is_news(before, sighting) else (), changes)


def _ended(end: pb.TrackEnded, site: SiteState, gallery: Gallery, rules: Rules) -> Step:
    track = site.track(end.track_id)
    if track is None:
        return Step()  # nobody saw a face of it
    if _is_over(track):
        return Step((track.decided,))
    sighting, changes = _decided(
        list(track.shots), track.decided, site, gallery, rules, ended_at_us=end.ended_at_us
    )
    ended = pb.Sighting()
    ended.CopyFrom(sighting)
    ended.status = pb.Sighting.ENDED
    ended.ClearField("template")
    # What is left tells a record delivered twice from the track seen again in a replay.
    shots = [pb.FaceObservation.FromString(shot.SerializeToString()) for shot in track.shots]
    for shot in shots:
        shot.ClearField("embedding")
    changes.tracks[end.track_id] = _track(shots, ended)
    news = (sighting,) if _is_news(track.decided, sighting) else ()
    return Step((*news, ended), changes)


def _decided(
    shots: Sequence[pb.FaceObservation],
    before: pb.Sighting | None,
    site: SiteState,
    gallery: Gallery,
    rules: Rules,
    *,
    ended_at_us: int = 0,
) -> tuple[pb.Sighting, Changes]:
    """The sighting that the shots of an epoch make, and what strangers learn from it.

    With the time of the track's end it is the last word.
    """
    last = shots[-1]
    final = bool(ended_at_us)
    scale = score_scale(last.pack)
    evidence = combine(
        [Shot(one.observation_id, vector_of(one.embedding), one.quality.overall) for one in shots],
        scale.newcomer,
    )
    sighting_id = ids.sighting_id(last.track_id, last.epoch)
    held = _held(before)
    also = [held.key] if held else []
    own = before.global_id if before and not before.person_id else 0
    decision = decide(
        evidence,
        gallery.nearest(last.pack, evidence.template, also),
        site.nearest(last.pack, evidence.template, without=(own, sighting_id), also=also),
        scale,
        rules,
        held=held,
        final=final,
    )
    best = next(one for one in shots if one.observation_id == evidence.best)
    sighting = _sighting(decision, last, best, gallery)
    sighting.shots = evidence.count
    sighting.template = bytes_of(evidence.template)
    sighting.decided_at_us = max(last.captured_at_us, ended_at_us)
    _set_status(sighting, before)
    if final or _is_news(before, sighting):
        return sighting, Changes(strangers=_learned(sighting, before, last, site))
    return sighting, Changes()


def _sighting(
    decision: Decision, last: pb.FaceObservation, best: pb.FaceObservation, gallery: Gallery
) -> pb.Sighting:
    sighting = pb.Sighting(
        sighting_id=ids.sighting_id(last.track_id, last.epoch),
        track_id=last.track_id,
        track_number=last.track_number,
        epoch=last.epoch,
        camera_id=last.camera_id,
        site_id=last.site_id,
        motion_event_id=last.motion_event_id,
        observation_id=last.observation_id,
        score=decision.score,
        threshold=decision.threshold,
        confidence=decision.confidence,
        pack=last.pack,
        gallery_revision=gallery.revision,
        reason=decision.reason,
        first_seen_us=last.track_started_at_us,
        frame=best.frame,
        width=best.width,
        height=best.height,
        track_box=best.track_box,
        face_box=best.face_box,
        face_quality=best.quality.overall,
    )
    if decision.runner_up is not None:
        sighting.runner_up = decision.runner_up.key
        sighting.runner_up_score = decision.runner_up.score
    if decision.status == "stranger":
        sighting.global_id = int(decision.key)
    elif decision.status == "newcomer":
        sighting.global_id = ids.global_id(last.track_id)
    elif decision.status == "enrolled" and (person := gallery.person(decision.key)):
        sighting.global_id = ids.global_id(person.person_id)
        sighting.person_id = person.person_id
        sighting.name = person.name
        sighting.is_authorized = person.is_authorized
    return sighting


def _set_status(sighting: pb.Sighting, before: pb.Sighting | None) -> None:
    """What the sighting is after the one before it."""
    if before is None or before.status == pb.Sighting.PROVISIONAL:
        decided = bool(sighting.global_id)
        sighting.status = pb.Sighting.CONFIRMED if decided else pb.Sighting.PROVISIONAL
    elif _identity(sighting) == _identity(before):
        sighting.status = before.status
        sighting.decided_at_us = before.decided_at_us
    else:
        sighting.status = pb.Sighting.CHANGED
    if sighting.status == pb.Sighting.PROVISIONAL:
        sighting.ClearField("template")


def _learned(
    sighting: pb.Sighting, before: pb.Sighting | None, last: pb.FaceObservation, site: SiteState
) -> dict[int, pb.UnknownPerson | None]:
    """The strangers whom this sighting changes: one has been seen, another was somebody else."""
    changed: dict[int, pb.UnknownPerson | None] = {}
    is_stranger = bool(sighting.global_id) and not sighting.person_id
    if before is not None and before.global_id and before.global_id != sighting.global_id:
        mistaken = site.stranger(before.global_id)
        if mistaken is not None:
            changed[before.global_id] = without_template(mistaken, sighting.sighting_id)
    if is_stranger:
        person = pb.UnknownPerson(
            global_id=sighting.global_id,
            site_id=sighting.site_id,
            founder_track_id=sighting.track_id,
            first_seen_us=sighting.first_seen_us,
        )
        person.CopyFrom(site.stranger(sighting.global_id) or person)
        person.last_seen_us = max(person.last_seen_us, last.captured_at_us)
        look = pb.Template(
            template_id=sighting.sighting_id,
            pack=sighting.pack,
            vector=sighting.template,
            quality=sighting.face_quality,
        )
        changed[sighting.global_id] = with_template(person, look)
    return changed


def _held(before: pb.Sighting | None) -> Held | None:
    if before is None or not before.global_id:
        return None
    if before.person_id:
        return Held(before.person_id, is_new=False)
    is_new = before.global_id == ids.global_id(before.track_id)
    return Held(str(before.global_id), is_new)


def _identity(sighting: pb.Sighting) -> tuple[int, str, str, bool]:
    return sighting.global_id, sighting.person_id, sighting.name, sighting.is_authorized


def _is_news(before: pb.Sighting | None, now: pb.Sighting) -> bool:
    return before is None or before.status != now.status or _identity(before) != _identity(now)


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


def _track(shots: Sequence[pb.FaceObservation], decided: pb.Sighting) -> pb.TrackState:
    last = shots[-1]
    return pb.TrackState(track_id=last.track_id, site_id=last.site_id, shots=shots, decided=decided)

"""What is said of a track: a decision as a record."""

from processors.match.decide import Decision
from processors.match.gallery import Person
from processors.match.strangers import with_template
from schemas import ids
from schemas import sightline_pb2 as pb


def of(decision: Decision, last: pb.FaceObservation, best: pb.FaceObservation) -> pb.Sighting:
    """The sighting of a track by its newest shot and its best, not yet of anybody."""
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
    return sighting


def name(sighting: pb.Sighting, global_id: int, person: Person | None) -> None:
    """Say who it is; 0 is nobody, and `person` says who of the enrolled."""
    sighting.global_id = global_id
    sighting.person_id = person.person_id if person is not None else ""
    sighting.name = person.name if person is not None else ""
    sighting.is_authorized = person is not None and person.is_authorized


def set_status(sighting: pb.Sighting, before: pb.Sighting | None) -> None:
    """Say what the sighting is after the one before it."""
    if before is None or before.status == pb.Sighting.PROVISIONAL:
        decided = bool(sighting.global_id)
        sighting.status = pb.Sighting.CONFIRMED if decided else pb.Sighting.PROVISIONAL
    elif identity(sighting) == identity(before):
        sighting.status = before.status
        sighting.decided_at_us = before.decided_at_us
    else:
        sighting.status = pb.Sighting.CHANGED
        sighting.decided_at_us = max(sighting.decided_at_us, before.decided_at_us)
    if sighting.status == pb.Sighting.PROVISIONAL:
        sighting.ClearField("template")


def again(sighting: pb.Sighting, status: pb.Sighting.Status) -> pb.Sighting:
    """The same with another status, for a track that is over: without its template."""
    copy = pb.Sighting()
    copy.CopyFrom(sighting)
    copy.status = status
    copy.ClearField("template")
    return copy


def told_before(sighting: pb.Sighting) -> pb.Sighting:
    """The same once more, as no news."""
    copy = pb.Sighting()
    copy.CopyFrom(sighting)
    copy.again = True
    return copy


def identity(sighting: pb.Sighting) -> tuple[int, str, str, bool]:
    """Who it is, and what is said of them."""
    return sighting.global_id, sighting.person_id, sighting.name, sighting.is_authorized


def is_news(before: pb.Sighting | None, now: pb.Sighting) -> bool:
    """Whether it says anything that was not said before."""
    return before is None or before.status != now.status or identity(before) != identity(now)


def seen(known: pb.UnknownPerson | None, sighting: pb.Sighting, last_us: int) -> pb.UnknownPerson:
    """A stranger who was seen once more, or for the first time."""
    person = pb.UnknownPerson(
        global_id=sighting.global_id,
        site_id=sighting.site_id,
        founder_track_id=sighting.track_id,
        first_seen_us=sighting.first_seen_us,
    )
    if known is not None:
        person.CopyFrom(known)
    if last_us >= person.last_seen_us:
        person.last_seen_us = last_us
        person.last_camera_id = sighting.camera_id
    return with_template(
        person,
        pb.Template(
            template_id=sighting.sighting_id,
            pack=sighting.pack,
            vector=sighting.template,
            quality=sighting.face_quality,
            track_id=sighting.track_id,
        ),
    )

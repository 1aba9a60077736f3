"""Sightings: decisions as messages."""

from copy import deepcopy

from processors.match.decision.identification import Decision
from processors.match.reference.enrolled_people import EnrolledPerson
from processors.match.state.unknown_persons import with_template
from schemas import ids
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import EvidenceKind


def sighting_of(
    decision: Decision, kind: EvidenceKind, last: pb.FaceObservation, best: pb.FaceObservation
) -> pb.Sighting:
    """Return the sighting of a track by its newest and its best observation, without a person."""
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
        evidence_kind=pb.EvidenceKind.Name(kind),
    )
    if decision.runner_up is not None:
        sighting.runner_up = decision.runner_up.key
        sighting.runner_up_score = decision.runner_up.score
    return sighting


def set_person(sighting: pb.Sighting, global_id: int, person: EnrolledPerson | None) -> None:
    """Set the person of a sighting: a global id (0: none), and the enrolled person with it."""
    sighting.global_id = global_id
    sighting.person_id = person.person_id if person is not None else ""
    sighting.name = person.name if person is not None else ""
    sighting.is_authorized = person is not None and person.is_authorized


def set_status(sighting: pb.Sighting, before: pb.Sighting | None) -> None:
    """Set the identity status that follows from the sighting before it."""
    if before is None or before.status == pb.Sighting.PROVISIONAL:
        is_decided = bool(sighting.global_id)
        sighting.status = pb.Sighting.CONFIRMED if is_decided else pb.Sighting.PROVISIONAL
    elif identity(sighting) == identity(before):
        sighting.status = before.status
        sighting.decided_at_us = before.decided_at_us
    else:
        sighting.status = pb.Sighting.CHANGED
        sighting.decided_at_us = max(sighting.decided_at_us, before.decided_at_us)
    if sighting.status == pb.Sighting.PROVISIONAL:
        sighting.ClearField("template")


def ended(sighting: pb.Sighting) -> pb.Sighting:
    """Return a copy for a track that is over: status ENDED, without its template."""
    copy = deepcopy(sighting)
    copy.status = pb.Sighting.ENDED
    copy.ClearField("template")
    return copy


def repeated(sighting: pb.Sighting) -> pb.Sighting:
    """Return a copy that is marked as a repetition, which is no news."""
    copy = deepcopy(sighting)
    copy.again = True
    return copy


def identity(sighting: pb.Sighting) -> tuple[int, str, str, bool]:
    """Return the person of a sighting with the fields that describe them."""
    return sighting.global_id, sighting.person_id, sighting.name, sighting.is_authorized


def is_changed(before: pb.Sighting | None, now: pb.Sighting) -> bool:
    """Return whether a sighting differs from the one before in status or person."""
    return before is None or before.status != now.status or identity(before) != identity(now)


def with_sighting(
    person: pb.UnknownPerson | None, sighting: pb.Sighting, last_us: int
) -> pb.UnknownPerson:
    """Return an unknown person with the template of a sighting; None founds a new person.

    Args:
        person: Person before the sighting.
        sighting: Decision that the track is the person.
        last_us: Capture time of the track's newest observation.
    """
    founded = pb.UnknownPerson(
        global_id=sighting.global_id,
        site_id=sighting.site_id,
        founder_track_id=sighting.track_id,
        first_seen_us=sighting.first_seen_us,
    )
    changed = founded if person is None else deepcopy(person)
    if last_us >= changed.last_seen_us:
        changed.last_seen_us = last_us
        changed.last_camera_id = sighting.camera_id
    return with_template(
        changed,
        pb.Template(
            template_id=sighting.sighting_id,
            pack=sighting.pack,
            vector=sighting.template,
            quality=sighting.face_quality,
            track_id=sighting.track_id,
            kind=sighting.evidence_kind,
        ),
    )

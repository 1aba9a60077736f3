"""Sightings of tracks that are over and that no face has given an identity."""

from copy import deepcopy

from processors.match.decision.sighting_messages import set_person
from schemas import ids
from schemas import sightline_pb2 as pb

_WORDS = {
    "no_face": "no face visible",
    "small": "face too small",
    "cut": "face cut off by the picture's edge",
    "dark": "face too dark",
    "overexposed": "face overexposed",
    "blurred": "face blurred",
    "uncertain": "face not clear",
    "turned": "face turned away",
}
"""Words for a look without an observation, by its reason."""


def unidentified(end: pb.TrackEnded, decided: pb.Sighting | None = None) -> pb.Sighting:
    """Return the sighting that somebody was there, and no face told who.

    Args:
        end: End of the track.
        decided: The track's last decision, of nobody; None where no face was observed.
    """
    if decided is None:
        sighting = _unobserved(end)
        sighting.reason = seen(end)
    else:
        sighting = deepcopy(decided)
        sighting.reason = "; ".join(filter(None, (decided.reason, seen(end))))
    sighting.status = pb.Sighting.UNIDENTIFIED
    set_person(sighting, 0, None)
    sighting.ClearField("template")
    sighting.confidence = 0.0
    sighting.decided_at_us = max(sighting.decided_at_us, end.ended_at_us)
    sighting.attempts = end.attempts
    sighting.refusals.update(end.refusals)
    return sighting


def _unobserved(end: pb.TrackEnded) -> pb.Sighting:
    return pb.Sighting(
        sighting_id=ids.sighting_id(end.track_id, 0),
        track_id=end.track_id,
        track_number=end.track_number,
        camera_id=end.camera_id,
        site_id=end.site_id,
        motion_event_id=end.motion_event_id,
        pack=end.pack,
        first_seen_us=end.started_at_us,
        frame=end.frame,
        width=end.width,
        height=end.height,
        track_box=end.box,
    )


def seen(end: pb.TrackEnded) -> str:
    """Return what the looks at a track's face saw, in words, the most frequent first."""
    refusals = sorted(end.refusals.items(), key=lambda item: (-item[1], item[0]))
    if not refusals:
        return "" if end.attempts else "its face was never looked at"
    return ", ".join(
        _WORDS.get(code, code)
        + (f" ({end.face_px:.0f} px at most)" if code == "small" else "")
        + f" in {count} of {end.attempts} looks"
        for code, count in refusals
    )

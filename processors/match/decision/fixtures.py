"""Fixtures of a camera: what is detected at one place without ever moving, event after event.

A portrait on the wall, a presenter on a screen, a coat stand. None of them is a person who was
there: a fixture is counted and shown, and has no row. Somebody who sits still is no fixture: over
several events a person moves by more than the noise of the detector.
"""

from copy import deepcopy

from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US_PER_SECOND

STILL = 0.04
"""Farthest move of a box, in its heights, of a track that has not moved. The boxes of a person who
stands still as a statue for four seconds scatter by .01 to .02 on the walkers' film."""

_SAME_PLACE_IOU = 0.85
"""Overlap of two boxes of one fixture."""

_EVENTS = 3
"""Earlier motion events from which on what never moves is a fixture."""

_MAX_FIXTURES = 32
"""Places of a camera that are noted; the one seen last longest ago is dropped for one too many."""

_TTL_US = 7 * 86_400 * US_PER_SECOND
"""Capture time after which a place is dropped at which nothing was seen."""


def is_still(track: pb.TrackState) -> bool:
    """Return whether a track has not moved by its newest observation, or by its end."""
    if track.HasField("end"):
        return _is_still_end(track.end)
    last = track.shots[-1]
    return last.HasField("moved") and last.moved < STILL


def _is_still_end(end: pb.TrackEnded) -> bool:
    # Without the size of its frame the place of a track is not known.
    return bool(end.width) and end.moved < STILL


def recognised_fixture(
    fixtures: pb.CameraFixtures | None, event_id: str, box: pb.Box
) -> pb.Fixture | None:
    """Return the fixture at a place that earlier events than this one have shown; None for none."""
    fixture = _at(fixtures, box)
    if fixture is None or not (fixture.is_picture or _earlier_events(fixture, event_id) >= _EVENTS):
        return None
    return fixture


def _earlier_events(fixture: pb.Fixture, event_id: str) -> int:
    return fixture.events - (fixture.last_event_id == event_id)


def with_end(
    fixtures: pb.CameraFixtures | None, end: pb.TrackEnded, *, is_picture: bool
) -> pb.CameraFixtures | None:
    """Return the fixtures of a camera after the end of a track; None if they do not change.

    A still track is noted at its place. A track that has moved from a place frees it: what was
    there was a person.

    Args:
        fixtures: Fixtures before; None for none.
        end: End of a confirmed track with its box.
        is_picture: Another track that moves is the same person: this one is a picture of them.
    """
    changed = pb.CameraFixtures(camera_id=end.camera_id, site_id=end.site_id)
    if fixtures is not None:
        changed = deepcopy(fixtures)
        _drop_old(changed, end.ended_at_us)
    fixture = _at(changed, end.box)
    if not _is_still_end(end):
        if fixture is None or fixture.is_picture:
            return None
        changed.fixtures.remove(fixture)
        return changed
    if fixture is None:
        fixture = changed.fixtures.add(box=end.box, first_seen_us=end.started_at_us)
    if fixture.last_event_id != end.motion_event_id:
        fixture.events += 1
    fixture.last_event_id = end.motion_event_id
    fixture.last_seen_us = max(fixture.last_seen_us, end.ended_at_us)
    fixture.is_picture |= is_picture
    if len(changed.fixtures) > _MAX_FIXTURES:
        changed.fixtures.remove(min(changed.fixtures, key=lambda entry: entry.last_seen_us))
    return changed


def fixture_sighting(sighting: pb.Sighting, fixture: pb.Fixture) -> pb.Sighting:
    """Return a track's sighting of nobody as that of a fixture."""
    changed = deepcopy(sighting)
    changed.status = pb.Sighting.FIXTURE
    changed.events, changed.is_picture = max(1, fixture.events), fixture.is_picture
    changed.fixture_since_us = fixture.first_seen_us
    changed.reason = reason(fixture)
    return changed


def reason(fixture: pb.Fixture) -> str:
    """Return why a track is a fixture, in words."""
    if fixture.is_picture:
        return "a picture: it has never moved, and the person was elsewhere in the picture"
    return f"it has never moved, in {fixture.events} motion events"


def _at(fixtures: pb.CameraFixtures | None, box: pb.Box) -> pb.Fixture | None:
    if fixtures is None:
        return None
    best = max(fixtures.fixtures, key=lambda entry: iou(entry.box, box), default=None)
    return best if best is not None and iou(best.box, box) >= _SAME_PLACE_IOU else None


def _drop_old(fixtures: pb.CameraFixtures, now_us: int) -> None:
    for fixture in [entry for entry in fixtures.fixtures if entry.last_seen_us < now_us - _TTL_US]:
        fixtures.fixtures.remove(fixture)


def iou(first: pb.Box, second: pb.Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    wide = min(first.x2, second.x2) - max(first.x1, second.x1)
    tall = min(first.y2, second.y2) - max(first.y1, second.y1)
    common = max(0.0, wide) * max(0.0, tall)
    both = _area(first) + _area(second) - common
    return common / both if both > 0 else 0.0


def _area(box: pb.Box) -> float:
    return max(0.0, box.x2 - box.x1) * max(0.0, box.y2 - box.y1)

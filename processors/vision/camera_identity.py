"""Correction of a camera's tracks after a face that disagrees: exchange or split."""

from collections.abc import Mapping

from processors.vision.camera_state import CameraState, VisibleTrack
from processors.vision.track_exchange import TrackExchange
from processors.vision.track_split import SplitTrack, ended_and_second
from processors.vision.verification import VerifiedCrop
from sightline.models.outputs import Track

_FIRST_ORDINAL = 1_000
"""Ordinals of second parts in the frame that they begin in; tracks that begin there as new ones
have lower ordinals (see `tracking._MAX_BOXES`)."""


def exchange_bodies(
    state: CameraState, exchange: TrackExchange, track: Track, verified: VerifiedCrop, at_us: int
) -> Track | None:
    """Exchange a track whose face disagrees with the track whose face it is, and return that.

    None where there is no such track, or it is not certain yet.
    """
    partner = exchange.partner(track, state.tracks.values(), verified, at_us)
    if partner is None:
        return None
    number, other = track.properties.number, partner.properties.number
    state.tracker.exchange(number - 1, other - 1)
    _show(state, {number: partner, other: track})
    exchange.complete(track, partner, verified, at_us)
    return partner


def split_track(state: CameraState, track: Track, verified: VerifiedCrop, at_us: int) -> SplitTrack:
    """Split a track by a face that confirms another one: its second part takes over its box."""
    before = track.properties.number - 1
    number = state.tracker.renumber(before)
    split = ended_and_second(track, verified, at_us, number + 1, _FIRST_ORDINAL + number)
    del state.tracks[before]
    state.tracks[number] = split.second
    _show(state, {track.properties.number: split.second})
    return split


def _show(state: CameraState, tracks: Mapping[int, Track]) -> None:
    """Let boxes in the picture be those of other tracks, by the numbers of the present ones."""
    state.visible = [
        VisibleTrack(
            tracks.get(shown.track.properties.number, shown.track),
            shown.box,
            shown.score,
            shown.face,
        )
        for shown in state.visible
    ]

"""What a site remembers: its live tracks, and the people it has met whom nobody has enrolled.

Kept as records of a changelog, so that whoever takes the site over starts with the same.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.message import Message

from processors.match.decide import Candidate
from processors.match.gallery import NEAREST
from processors.match.index import TemplateIndex
from processors.match.vectors import vector_of
from schemas import sightline_pb2 as pb
from sightline.clock import US
from sightline.identity.evidence import Vector, mean_of, score_of

MAX_TEMPLATES = 10
"""Looks of a stranger that are kept, those that differ most."""

_TRACK_LIFE_US = 600 * US
"""Of capture time after a track's last shot: then its end was lost, or is long over.

An ended track is kept as long, so that what is delivered twice is known to be.
"""


def track_key(site_id: str, track_id: str) -> bytes:
    """The changelog's key of a track."""
    return f"t|{site_id}|{track_id}".encode()


def stranger_key(site_id: str, global_id: int) -> bytes:
    """The changelog's key of a stranger."""
    return f"p|{site_id}|{global_id}".encode()


@dataclass(frozen=True, slots=True)
class Changes:
    """What a step changes in a site; None: the entry goes."""

    tracks: dict[str, pb.TrackState | None] = field(default_factory=dict)
    strangers: dict[int, pb.UnknownPerson | None] = field(default_factory=dict)

    def records(self, site_id: str) -> Iterator[tuple[bytes, bytes | None]]:
        """The changelog's records of this."""
        entries: list[tuple[bytes, Message | None]] = [
            *((track_key(site_id, key), track) for key, track in self.tracks.items()),
            *((stranger_key(site_id, key), person) for key, person in self.strangers.items()),
        ]
        for key, entry in entries:
            yield key, None if entry is None else entry.SerializeToString(deterministic=True)


class SiteState:
    """One site's memory. Only `apply` and `touch` change it."""

    def __init__(self) -> None:
        self._tracks: dict[str, pb.TrackState] = {}
        self._strangers: dict[int, pb.UnknownPerson] = {}
        self._packs: dict[str, TemplateIndex] = {}
        # Of each camera its tracks by last shot (µs), the oldest first.
        self._last: defaultdict[str, OrderedDict[str, int]] = defaultdict(OrderedDict)
        # Where in the source the last event of a track stood, if this process has seen it.
        self._touched: dict[str, int] = {}

    def track(self, track_id: str) -> pb.TrackState | None:
        """A track that is live, or was a moment ago."""
        return self._tracks.get(track_id)

    def stranger(self, global_id: int) -> pb.UnknownPerson | None:
        """A person whom the site has met."""
        return self._strangers.get(global_id)

    def dimension(self, pack: str) -> int | None:
        """How long a pack's vectors are, where the site has met anybody by it."""
        index = self._packs.get(pack)
        return index.dimension if index is not None else None

    def nearest(
        self, pack: str, vector: Vector, *, without: tuple[int, str], also: Sequence[str]
    ) -> list[Candidate]:
        """The strangers nearest to a template, best first.

        `without`: a stranger and the id of a template of theirs that does not count, because it
        is what is asked about.
        """
        index = self._packs.get(pack)
        if index is None:
            return []
        global_id, template_id = without
        found = index.search(vector, NEAREST, [*also, str(global_id)])
        person = self._strangers.get(global_id)
        if person is None:
            return found
        others = [one for one in found if one.key != str(global_id)]
        rest = _vectors(person, pack, template_id)
        if rest:
            others.append(Candidate(str(global_id), score_of(vector, rest, mean_of(rest))))
        return sorted(others, key=lambda one: (-one.score, one.key))

    def expired(self, camera_id: str, now_us: int, settled: int) -> list[str]:
        """Tracks of a camera that are forgotten at a capture time of that camera.

        `settled`: the source offset from which on events may be delivered again. A track with
        such events stays: the rest of it alone would be decided otherwise. One that this
        process has not seen has none: they would have come again before what is seen now.
        """
        gone = []
        for track_id, last_us in self._last[camera_id].items():
            if last_us >= now_us - _TRACK_LIFE_US or self._touched.get(track_id, -1) >= settled:
                break
            gone.append(track_id)
        return gone

    def touch(self, track_id: str, offset: int) -> None:
        """Note that an event of a track stood at a source offset, whatever it changed."""
        if track_id in self._tracks:
            self._touched[track_id] = offset

    def apply(self, changes: Changes) -> None:
        """Take over what a step has changed."""
        for track_id, track in changes.tracks.items():
            self._set_track(track_id, track)
        for global_id, person in changes.strangers.items():
            self._set_stranger(global_id, person)

    def _set_track(self, track_id: str, track: pb.TrackState | None) -> None:
        before = self._tracks.pop(track_id, None)
        if before is not None:
            self._last[before.decided.camera_id].pop(track_id, None)
        if track is None:
            self._touched.pop(track_id, None)
        else:
            self._tracks[track_id] = track
            last_us = max(shot.captured_at_us for shot in track.shots)
            self._last[track.decided.camera_id][track_id] = last_us

    def _set_stranger(self, global_id: int, person: pb.UnknownPerson | None) -> None:
        before = self._strangers.pop(global_id, None)
        packs = {one.pack for known in (before, person) if known for one in known.templates}
        for pack in packs:
            vectors = _vectors(person, pack) if person else []
            if pack not in self._packs:
                self._packs[pack] = TemplateIndex(len(vectors[0]))
            self._packs[pack].put(str(global_id), vectors)
        if person is not None:
            self._strangers[global_id] = person


def load(records: Iterable[tuple[bytes, bytes]]) -> dict[str, SiteState]:
    """The sites of a changelog's entries."""
    changes: defaultdict[str, Changes] = defaultdict(Changes)
    for key, value in records:
        if key.startswith(b"t|"):
            track = pb.TrackState.FromString(value)
            changes[track.site_id].tracks[track.track_id] = track
        else:
            person = pb.UnknownPerson.FromString(value)
            changes[person.site_id].strangers[person.global_id] = person
    sites: dict[str, SiteState] = {}
    for site_id, change in changes.items():
        in_time = sorted(change.tracks.items(), key=lambda item: item[1].shots[-1].captured_at_us)  # type: ignore[union-attr]
        sites[site_id] = SiteState()
        sites[site_id].apply(Changes(dict(in_time), change.strangers))
    return sites


def with_template(person: pb.UnknownPerson, template: pb.Template) -> pb.UnknownPerson:
    """A stranger with a look added, or replaced where it is there; at most `MAX_TEMPLATES`.

    When there are too many, the worse of the two most alike goes.
    """
    changed = pb.UnknownPerson()
    changed.CopyFrom(person)
    kept = [one for one in person.templates if one.template_id != template.template_id]
    kept.append(template)
    same_pack = [one for one in kept if one.pack == template.pack]
    if len(same_pack) > MAX_TEMPLATES:
        kept.remove(_superfluous(same_pack))
    del changed.templates[:]
    changed.templates.extend(kept)
    return changed


def without_template(person: pb.UnknownPerson, template_id: str) -> pb.UnknownPerson | None:
    """A stranger with a look taken away; None when that was all there was."""
    changed = pb.UnknownPerson()
    changed.CopyFrom(person)
    del changed.templates[:]
    changed.templates.extend(one for one in person.templates if one.template_id != template_id)
    return changed if changed.templates else None


def _superfluous(templates: Sequence[pb.Template]) -> pb.Template:
    vectors = np.stack([vector_of(one.vector) for one in templates])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    pair = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
    return min((templates[int(row)] for row in pair), key=lambda one: one.quality)


def _vectors(person: pb.UnknownPerson, pack: str, without: str = "") -> list[Vector]:
    return [
        vector_of(one.vector)
        for one in person.templates
        if one.pack == pack and one.template_id != without
    ]

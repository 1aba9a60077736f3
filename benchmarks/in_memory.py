"""The chain from pictures to sightings in memory: gate, vision, matching."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from ops.demo.demo_persons import DEMO_PERSONS, enrolment_photo
from processors.match.decision.identification import DecisionRules
from processors.match.embedding_codec import encode_embedding
from processors.match.index.gallery import GalleryIndex
from processors.match.reference.reference_data import ReferenceData
from processors.match.site_matcher import SiteMatcher
from processors.match.state.site_state import SiteState
from processors.vision.processor import VisionProcessor
from producers.event_cutter import EventCutter
from producers.frame_accounting import FrameCounts
from producers.frame_messages import FrameEncoder
from producers.source_interface import CapturedPicture
from schemas import sightline_pb2 as pb
from sightline.models.interface import ModelPack
from sightline.runtime.clock import Clock
from sightline.runtime.settings import Settings
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.streaming.records import Record

CAMERA = "door"


def published(pictures: Iterable[CapturedPicture], *, live: bool = False) -> list[Record]:
    """Return the records of a camera's frames, as its producer publishes them."""
    cutter = EventCutter(CAMERA, CameraSettings(), FrameCounts())
    encoder = FrameEncoder(NewCamera(camera_id=CAMERA, uri="/x", site_id="site"))
    frames: list[pb.Frame] = []
    for picture in pictures:
        if picture.time_restarts:
            frames += encoder.encode(cutter.finish(), FrameCounts(), live=live)
            cutter.restart_time()
        frames += encoder.encode(cutter.process(picture), FrameCounts(), live=live)
    frames += encoder.encode(cutter.finish(), FrameCounts(), live=live)
    return [
        Record(
            "frames.default", 0, offset, CAMERA.encode(), frame.SerializeToString(),
            frame.captured_at_us // 1000,
        )
        for offset, frame in enumerate(frames)
    ]  # fmt: skip


def waiting_at_once(records: Sequence[Record]) -> list[Record]:
    """Return records that were all there when their consumer came."""
    return [
        replace(record, records_behind=len(records) - number - 1)
        for number, record in enumerate(records)
    ]


@dataclass(frozen=True, slots=True)
class Seen:
    """Output of the chain."""

    rows: list[pb.Sighting]
    """Last sighting of each track with a row of the access log, by its first frame."""
    snapshots: dict[str, pb.Snapshot]
    """Best snapshot by track id."""
    skipped: int
    """Frames that vision has left out."""


def see(
    pack: ModelPack,
    records: Iterable[Record],
    clock: Clock | None = None,
    *,
    enrolled: bool = False,
) -> Seen:
    """Let vision and matching see frames; `enrolled`: they know the demo's people."""
    settings = Settings()
    processor = VisionProcessor(pack, settings, clock=clock)
    reference = ReferenceData()
    gallery = GalleryIndex(reference.enrolled)
    for person in demo_gallery(pack) if enrolled else ():
        gallery.put(person)
    state = SiteState("site", reference)
    matcher = SiteMatcher(state, reference, gallery)
    rules = DecisionRules.of(settings)
    sightings: dict[str, pb.Sighting] = {}
    snapshots: dict[str, pb.Snapshot] = {}
    skipped = 0
    for record in records:
        for out in processor.process(record):
            if out.topic == "faces":
                event = pb.FaceEvent.FromString(out.value or b"")
                step = matcher.decide(event, rules, redelivered_from=0)
                state.apply(step.changes)
                sightings |= {sighting.track_id: sighting for sighting in step.sightings}
            elif out.topic == "snapshots":
                snapshot = pb.Snapshot.FromString(out.value or b"")
                snapshots[snapshot.track_id] = snapshot
            elif out.topic == "tracks":
                skipped += pb.FrameTracks.FromString(out.value or b"").skipped
    has_row = (pb.Sighting.CONFIRMED, pb.Sighting.CHANGED, pb.Sighting.ENDED)
    rows = [
        sighting
        for sighting in sightings.values()
        if sighting.status == pb.Sighting.UNIDENTIFIED
        or (sighting.status in has_row and sighting.global_id)
    ]
    return Seen(sorted(rows, key=lambda row: row.first_seen_us), snapshots, skipped)


def demo_gallery(pack: ModelPack) -> list[pb.GalleryPerson]:
    """Return the records of the demo's enrolled people for a pack."""
    people = []
    for number, member in enumerate(DEMO_PERSONS):
        if member.enrolled:
            photo = enrolment_photo(member)
            [vector] = pack.embedder.embed([(photo, pack.faces.detect([photo])[0][0])])
            person_id = str(UUID(int=number + 1))
            template = pb.Template(
                template_id=person_id, pack=pack.id, quality=0.9, vector=encode_embedding(vector)
            )
            people.append(
                pb.GalleryPerson(
                    person_id=person_id, name=member.name, revision=1, status="active",
                    is_authorized=True, templates=[template],
                )
            )  # fmt: skip
    return people

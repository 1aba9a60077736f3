"""One filled message of every kind, as this version writes them.

`python -m tests.golden` writes those that have no file yet, of this version or an earlier one,
below `schemas/golden/<version>`: what a released version has written is never written again.
"""

import json
import struct
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from schemas import ids
from schemas import sightline_pb2 as pb

ALL = Path(__file__).parent.parent / "schemas" / "golden"
FOLDER = ALL / "v5"

_AT = 1_760_000_000_000_000
_EVENT = ids.motion_event_id("door", _AT)
_TRACK = ids.track_id("door", _AT, 1)
_CROP = "5b7d1c52-3f0e-4c5f-9a53-7a1c6f0e2d41"
_PERSON = "0f3c2a10-9a55-4a54-8a29-0d6c1f1f2b3c"
_FRAME = pb.Position(topic="frames.default", partition=3, offset=1234)
_BOX = pb.Box(x1=10.5, y1=20, x2=110.25, y2=220)
_VECTOR = struct.pack("<4f", 0.5, -0.5, 0.5, -0.5)
_QUALITY = pb.FaceQuality(
    size_px=64, sharpness=0.75, frontality=0.875, detector_score=0.9375, overall=0.8125
)
_TEMPLATE = pb.Template(
    template_id=_PERSON, pack="buffalo_l", vector=_VECTOR, quality=0.75, track_id=_TRACK,
    kind=pb.EVIDENCE_KIND_BODY,
)  # fmt: skip

_FOLLOWED = pb.FollowedTrack(
    number=6,
    track_id=_TRACK,
    started_us=_AT - 1_000_000,
    seen_us=_AT,
    frames=10,
    epoch=1,
    shots=5,
    turned=1,
    total=11,
    misses=2,
    next_look_us=_AT + 300_000,
    settled_until_us=_AT + 300_000_000,
    snapshot_quality=0.75,
)

_OBSERVATION = pb.FaceObservation(
    observation_id=ids.observation_id(_TRACK, _AT),
    track_id=_TRACK,
    track_number=7,
    epoch=1,
    camera_id="door",
    site_id="office",
    motion_event_id=_EVENT,
    sequence=42,
    captured_at_us=_AT,
    track_started_at_us=_AT - 1_000_000,
    frame=_FRAME,
    width=1280,
    height=720,
    track_box=_BOX,
    face_box=_BOX,
    quality=_QUALITY,
    pack="buffalo_l",
    embedding=_VECTOR,
)
_SIGHTING = pb.Sighting(
    sighting_id=ids.sighting_id(_TRACK, 1),
    status=pb.Sighting.CONFIRMED,
    track_id=_TRACK,
    track_number=7,
    epoch=1,
    camera_id="door",
    site_id="office",
    motion_event_id=_EVENT,
    global_id=ids.global_id(_PERSON),
    person_id=_PERSON,
    name="Zoë Ødegård",
    is_authorized=True,
    score=0.625,
    threshold=0.375,
    confidence=0.96875,
    shots=5,
    runner_up="17",
    runner_up_score=0.125,
    pack="buffalo_l",
    gallery_revision=9,
    reason="agreeing_shots",
    first_seen_us=_AT - 1_000_000,
    decided_at_us=_AT,
    frame=_FRAME,
    width=1280,
    height=720,
    track_box=_BOX,
    face_box=_BOX,
    face_quality=0.8125,
    template=_VECTOR,
    candidate=_PERSON,
    candidate_score=0.625,
    wanted_rate=0.0009765625,
    gallery_people=15,
    calibration="buffalo_l",
    observation_id=ids.observation_id(_TRACK, _AT),
    again=True,
    evidence_kind=pb.EVIDENCE_KIND_BODY,
)

MESSAGES: dict[str, Message] = {
    "Frame": pb.Frame(
        camera_id="door",
        site_id="office",
        sequence=42,
        captured_at_us=_AT,
        jpeg=b"\xff\xd8\xff\xd9",
        width=1280,
        height=720,
        motion_event_id=_EVENT,
        first_in_event=True,
        last_in_event=True,
        live=True,
        masks=[pb.Mask(kinds=[pb.Mask.PEOPLE, pb.Mask.FACES], points=[0, 0, 0.5, 0, 0.5, 0.25])],
        still=True,
    ),
    "MotionEvent": pb.MotionEvent(
        event_id=_EVENT,
        camera_id="door",
        site_id="office",
        kind=pb.MotionEvent.ENDED,
        at_us=_AT + 5_000_000,
        first_sequence=1,
        last_sequence=50,
        frames=48,
        started_at_us=_AT,
    ),
    "FrameTracks": pb.FrameTracks(
        camera_id="door",
        site_id="office",
        sequence=42,
        captured_at_us=_AT,
        frame=_FRAME,
        width=1280,
        height=720,
        motion_event_id=_EVENT,
        last_in_event=True,
        tracks=[pb.TrackBox(track_id=_TRACK, track_number=7, box=_BOX, score=0.5)],
        skipped=True,
        again=True,
    ),
    "FaceEvent.observation": pb.FaceEvent(observation=_OBSERVATION),
    "FaceEvent.track_ended": pb.FaceEvent(
        track_ended=pb.TrackEnded(
            track_id=_TRACK,
            track_number=7,
            camera_id="door",
            site_id="office",
            motion_event_id=_EVENT,
            started_at_us=_AT,
            ended_at_us=_AT + 5_000_000,
            frames=50,
            observations=5,
        )
    ),
    "Snapshot": pb.Snapshot(
        track_id=_TRACK,
        epoch=1,
        camera_id="door",
        site_id="office",
        captured_at_us=_AT,
        frame=_FRAME,
        jpeg=b"\xff\xd8\xff\xd9",
        quality=0.8125,
    ),
    "Crop": pb.Crop(
        crop_id=_CROP,
        camera_id="door",
        site_id="office",
        track_number=7,
        captured_at_us=_AT,
        jpeg=b"\xff\xd8\xff\xd9",
        decided_track_id=_TRACK,
        reply=True,
    ),
    "Crop.track_ended": pb.Crop(
        crop_id=_CROP,
        camera_id="door",
        site_id="office",
        track_number=7,
        captured_at_us=_AT,
        track_ended=True,
    ),
    "CropOutcome.observed": pb.CropOutcome(
        crop_id=_CROP,
        camera_id="door",
        site_id="office",
        captured_at_us=_AT,
        crop=pb.Position(topic="crops", partition=3, offset=1234),
        track_id=_TRACK,
        track_number=7,
        observation_id=ids.observation_id(_TRACK, _AT),
        next_look_us=_AT + 300_000,
    ),
    "CropOutcome.refused": pb.CropOutcome(
        crop_id=_CROP,
        camera_id="door",
        site_id="office",
        captured_at_us=_AT,
        crop=pb.Position(topic="crops", partition=3, offset=1234),
        track_id=_TRACK,
        track_number=7,
        refusal="small",
        face_px=17.5,
    ),
    "CropTrackState": pb.CropTrackState(
        version=1,
        camera_id="door",
        site_id="office",
        motion_event_id=_EVENT,
        next_offset=1235,
        track=_FOLLOWED,
    ),
    "GalleryPerson": pb.GalleryPerson(
        person_id=_PERSON,
        name="Zoë Ødegård",
        status="active",
        is_authorized=True,
        templates=[_TEMPLATE],
        revision=9,
    ),
    "Fact.calibration": pb.Fact(calibration=pb.Calibration(pack="buffalo_l", json="{}")),
    "Fact.walking_time": pb.Fact(
        walking_time=pb.WalkingTime(camera_a="door", camera_b="yard", seconds=12.5)
    ),
    "Fact.track": pb.Fact(
        track=pb.TrackCorrection(
            track_id=_TRACK,
            site_id="office",
            global_id=ids.global_id(_TRACK),
            templates=[_TEMPLATE],
            first_seen_us=_AT,
            last_seen_us=_AT + 5_000_000,
        )
    ),
    "Fact.person": pb.Fact(
        person=pb.PersonCorrection(
            global_id=ids.global_id(_TRACK),
            merged_into=ids.global_id(_PERSON),
            not_same=[17],
            named=True,
            forgotten=True,
            erased=True,
            erased_tracks=[_TRACK],
        )
    ),
    "Sighting": _SIGHTING,
    "DeadLetter": pb.DeadLetter(
        source=_FRAME,
        key=b"door",
        value=b"no protobuf",
        service="vision",
        reason="not_protobuf",
        detail="no Frame: Error parsing message",
        failed_at_us=_AT,
        stack="Traceback (most recent call last):",
        headers=[pb.Header(key="traceparent", value=b"00-0af7651916cd43dd8448eb211c80319c-01")],
        timestamp_ms=_AT // 1000,
        run="second_look",
    ),
    "VisionState": pb.VisionState(
        version=1,
        camera_id="door",
        next_offset=1235,
        event_id=_EVENT,
        last_us=_AT,
        detected_us=_AT,
        outline=bytes(range(9)),
        origin_us=_AT - 5_000_000,
        tracker_seconds=5.0,
        next_number=8,
        tracklets=[
            pb.Tracklet(
                number=-1,
                age=3,
                unseen=1,
                unseen_seconds=0.125,
                seen_in_a_row=2,
                state=bytes(range(8)),
                covariance=bytes(range(16)),
            )
        ],
        tracks=[_FOLLOWED],
        visible=[pb.VisibleTrack(number=6, box=_BOX, score=0.5)],
        site_id="office",
    ),
    "TrackState": pb.TrackState(
        track_id=_TRACK,
        site_id="office",
        shots=[_OBSERVATION],
        decided=_SIGHTING,
        holds=ids.global_id(_PERSON),
        holds_by=0.25,
        waits_for=[17],
        ended_at_us=_AT + 5_000_000,
        face=_VECTOR,
    ),
    "UnknownPerson": pb.UnknownPerson(
        global_id=ids.global_id(_TRACK),
        site_id="office",
        founder_track_id=_TRACK,
        templates=[_TEMPLATE],
        first_seen_us=_AT,
        last_seen_us=_AT + 5_000_000,
        last_camera_id="door",
    ),
}


def as_dict(message: Message) -> object:
    """A message as JSON, every field with its name in the contract."""
    return MessageToDict(message, preserving_proto_field_name=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, message in MESSAGES.items():
        payload = message.SerializeToString(deterministic=True)
        if all(path.read_bytes() != payload for path in ALL.glob(f"*/{name}.bin")):
            (FOLDER / f"{name}.bin").write_bytes(payload)
            text = json.dumps(as_dict(message), indent=2, ensure_ascii=False)
            (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

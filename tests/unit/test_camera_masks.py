"""Masks of a camera: what is typed, what is stored, and what the frames carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from ops.cli.camera import app
from producers.event_cutter import Event, EventFrame
from producers.frame_accounting import FrameCounts
from producers.frame_messages import FrameEncoder
from schemas import sightline_pb2 as pb
from sightline.runtime.errors import SightlineError
from sightline.storage.camera_masks import CameraMask, MaskKind, parse_mask
from sightline.storage.cameras import CameraSettings, NewCamera
from tests.unit.test_event_cutter import STILL

TRIANGLE = "0.1,0.1,0.3,0.1,0.3,0.4"

fractions = st.integers(0, 1000).map(lambda number: number / 1000)


@given(
    st.sets(st.sampled_from(["motion", "people", "faces"]), min_size=1),
    st.lists(st.tuples(fractions, fractions), min_size=3, max_size=32),
)
def test_a_mask_is_written_as_it_is_typed(
    kinds: set[MaskKind], points: list[tuple[float, float]]
) -> None:
    mask = CameraMask(kinds=tuple(kinds), points=tuple(points))
    assert parse_mask(str(mask)) == mask
    settings = CameraSettings(masks=(mask,))
    assert CameraSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is not of motion, people or faces"),
        (TRIANGLE, "is not of motion, people or faces"),
        (f"hands:{TRIANGLE}", "is not of motion, people or faces"),
        (f"faces+:{TRIANGLE}", "is not of motion, people or faces"),
        ("faces:", "numbers between 0 and 1"),
        ("faces:0.1,0.1,0.3,0.1,0.3,nan", "numbers between 0 and 1"),
        ("faces:0.1,0.1,0.3,0.1,0.3,-0.4", "numbers between 0 and 1"),
        ("faces:0.1,0.1,0.3,0.1,0.3,1e9", "numbers between 0 and 1"),
        ("faces:0.1,0.1,0.3,0.1,0.3", "an x without a y"),
        ("faces:0.1,0.1,0.3,0.1", "has 2 points; 3 to 32"),
        ("faces:" + ",".join(["0.5"] * 66), "has 33 points"),
        ("faces:0.1,0.1,0.3,0.1,0.3,1.01", "reaches over the picture"),
        ("faces:" + "9" * 10_000, "numbers between 0 and 1"),
    ],
)
def test_what_is_no_mask_is_said_in_one_line(text: str, named: str) -> None:
    result = CliRunner().invoke(app, ["add", "cam", "/tmp", "--mask", text])
    assert isinstance(result.exception, SightlineError)
    message = str(result.exception)
    assert named in message
    assert "\n" not in message
    assert len(message) < 200


def test_sixteen_masks_are_the_most() -> None:
    many = ["--mask", f"people:{TRIANGLE}"] * 17
    result = CliRunner().invoke(app, ["add", "cam", "/tmp", *many])
    assert "16 is the most" in str(result.exception)
    with pytest.raises(ValidationError):
        CameraSettings(masks=(parse_mask(f"people:{TRIANGLE}"),) * 17)


def test_frames_carry_the_masks_that_vision_needs() -> None:
    masks = (
        parse_mask("motion:0,0,1,0,1,1"),
        parse_mask("motion+people:0,0,0.5,0,0.5,0.25"),
        parse_mask("people+faces:0,0,0.5,0,0.5,0.5,0,0.5"),
    )
    camera = NewCamera(camera_id="c", uri="/x", settings=CameraSettings(masks=masks))
    event_frame = EventFrame(STILL, 5, 1, Event("e", 5, 1, 5, 1), first=True, last=False)
    [frame] = FrameEncoder(camera).encode([event_frame], FrameCounts(), live=False)
    assert list(frame.masks) == [
        pb.Mask(kinds=[pb.Mask.PEOPLE], points=[0, 0, 0.5, 0, 0.5, 0.25]),
        pb.Mask(kinds=[pb.Mask.PEOPLE, pb.Mask.FACES], points=[0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]),
    ]

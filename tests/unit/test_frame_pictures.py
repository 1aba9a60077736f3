"""A frame's picture is a whole picture of the size that the frame says, or a dead letter."""

import cv2
import numpy as np
import pytest

from processors.vision.frame_decoder import decode_picture
from schemas import sightline_pb2 as pb
from sightline.runtime.errors import PoisonRecord


def jpeg(width: int = 64, height: int = 48) -> bytes:
    noise = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", noise)[1].tobytes())


def refused(frame: pb.Frame) -> str:
    with pytest.raises(PoisonRecord) as caught:
        decode_picture(frame)
    return caught.value.reason


def test_a_whole_picture_is_decoded() -> None:
    picture = decode_picture(pb.Frame(jpeg=jpeg(), width=64, height=48))
    assert picture.shape == (48, 64, 3)
    assert picture.dtype == np.uint8


def test_padding_after_the_end_is_no_harm() -> None:
    assert decode_picture(pb.Frame(jpeg=jpeg() + b"\0\0\0")).shape == (48, 64, 3)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_a_picture_cut_off_is_refused(kept: float) -> None:
    whole = jpeg(320, 240)
    assert refused(pb.Frame(jpeg=whole[: int(len(whole) * kept)])) == "bad_jpeg"


@pytest.mark.parametrize(
    "data",
    [
        b"no picture",
        b"\xff\xd8\xff\xd9",
        bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()),
    ],
)
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    assert refused(pb.Frame(jpeg=data)) == "bad_jpeg"


def test_a_picture_of_another_size_is_refused() -> None:
    assert refused(pb.Frame(jpeg=jpeg(), width=640, height=480)) == "bad_size"


def test_a_small_file_that_claims_to_be_huge_is_not_decoded() -> None:
    data = bytearray(jpeg())
    header = data.index(b"\xff\xc0") + 5  # start of frame: height and width follow
    data[header : header + 4] = (65000).to_bytes(2) + (65000).to_bytes(2)
    assert refused(pb.Frame(jpeg=bytes(data))) == "bad_size"

"""What a URI means, what is said when it cannot be read, and films that are the same each time."""

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from producers.camera_credentials import DEFAULT_SECRETS, resolve_credentials
from producers.camera_probe import probe_camera
from producers.event_cutter import EventCutter
from producers.file_source import ResumePoint
from producers.frame_accounting import FrameCounts
from producers.frame_messages import FrameEncoder, encode_image
from producers.source_interface import CapturedPicture, Source, SourceLostError
from producers.sources import is_live, open_source, parse_source_uri
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND, SystemClock, to_us
from sightline.runtime.errors import SightlineError
from sightline.storage.cameras import CameraSettings, NewCamera, mask_uri, validated
from tests.aws import aws
from tests.http_camera import camera_server
from tests.support import eventually

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class HandClock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_us(self) -> int:
        return to_us(START) + round(self.seconds * US_PER_SECOND)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def film(path: Path, frames: int = 30, fps: float = 25.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * 8 % 256, np.uint8))
    writer.release()
    return path


def read_all(source: Source) -> list[CapturedPicture]:
    pictures: list[CapturedPicture] = []
    while True:
        try:
            picture = source.read()
        except EOFError:
            source.close()
            return pictures
        if picture is not None:
            pictures.append(picture)


def pixels(picture: CapturedPicture) -> bytes:
    assert picture.image is not None
    return picture.image.tobytes()


def open_at(clock: HandClock, uri: str, **settings: object) -> Source:
    return open_source(uri, validated(CameraSettings, **settings), clock, clock.wait)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://admin:pw@cam.lan:554/a", "rtsp://***@cam.lan:554/a"),
        ("rtsp://admin:p@ss/w@cam.lan/a", "rtsp://***@cam.lan/a"),
        (
            "http://cam/video?user=me&pwd=secret&size=big",
            "http://cam/video?user=***&pwd=***&size=big",
        ),
        ("rtsp://admin:my secret@cam.lan/s", "rtsp://***@cam.lan/s"),
        (
            "rtsp://cam/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp",
            "rtsp://cam/user=***_password=***_channel=1_stream=0.sdp",
        ),
        (
            "http://cam/video.cgi?loginuse=admin&loginpas=hunter2",
            "http://cam/video.cgi?loginuse=***&loginpas=***",
        ),
        ("http://cam/v?u=admin&p=hunter2&up=1", "http://cam/v?u=***&p=***&up=1"),
        ("http://cam/v?password=a_b/c;d", "http://cam/v?password=***"),
        ("rtsp://cam.lan/a", "rtsp://cam.lan/a"),
        ("/films/a.mp4", "/films/a.mp4"),
    ],
)
def test_credentials_are_never_shown(uri: str, shown: str) -> None:
    assert mask_uri(uri) == shown


def test_credentials_may_be_kept_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "lobby"
    uri = f"rtsp://{{file:{file}}}@cam.lan:554/a"
    assert parse_source_uri(uri).target == uri, "what is stored, whether or not the file is there"
    assert mask_uri(uri) == "rtsp://***@cam.lan:554/a"
    with pytest.raises(SourceLostError, match="cannot be read"):
        open_source(uri, CameraSettings(), HandClock(), HandClock().wait)
    file.write_text("admin:p@ss/w:rd\n")
    assert resolve_credentials(uri, DEFAULT_SECRETS) == "rtsp://admin:p%40ss%2Fw%3Ard@cam.lan:554/a"
    assert mask_uri(resolve_credentials(uri, DEFAULT_SECRETS)) == "rtsp://***@cam.lan:554/a"
    assert resolve_credentials("/films/{a}.mp4", DEFAULT_SECRETS) == "/films/{a}.mp4"


@pytest.mark.slow
def test_a_camera_that_lets_nobody_in_is_asked_with_new_credentials() -> None:
    with aws() as cloud, camera_server() as at:
        cloud.secrets.create_secret(Name="cameras/lobby", SecretString="admin:old")
        uri = at.replace("//", "//{secretsmanager:cameras/lobby}@") + "/nothing"
        clock = HandClock()
        assert ":old@" in resolve_credentials(uri, DEFAULT_SECRETS)
        cloud.secrets.put_secret_value(SecretId="cameras/lobby", SecretString="admin:new")
        assert ":old@" in resolve_credentials(uri, DEFAULT_SECRETS), "kept"
        with pytest.raises(SourceLostError, match="wrong path, user, password") as caught:
            open_source(uri, CameraSettings(), clock, clock.wait)
        assert "old" not in str(caught.value)
        assert ":new@" in resolve_credentials(uri, DEFAULT_SECRETS)


def test_a_camera_does_not_print_its_password() -> None:
    camera = NewCamera.model_validate({"camera_id": "a", "uri": "rtsp://admin:hunter2@h/x"})
    assert "hunter2" not in repr(camera) + str(camera) + camera.masked_uri


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a" * 65, "a" * 10_000, "a/b"])
def test_a_bad_name_is_one_short_line(name: str) -> None:
    with pytest.raises(SightlineError) as caught:
        validated(NewCamera, camera_id=name, uri="x")
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"fps": 0}, {"quality": 101}, {"width": 1}, {"pace": "slow"}, {"colour": 1}]
)
def test_a_wrong_setting_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(SightlineError, match=next(iter(wrong))):
        validated(CameraSettings, **wrong)


def test_uris(tmp_path: Path) -> None:
    assert parse_source_uri("device:2").target == "/dev/video2"
    assert parse_source_uri("/dev/video0").kind == "device"
    assert parse_source_uri("RTSP://Host/X").target == "rtsp://Host/X"
    assert parse_source_uri(str(tmp_path)).kind == "folder"
    path = film(tmp_path / "a.avi")
    assert parse_source_uri(str(path)) == parse_source_uri(f"file://{path}")


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp:///x", "http://host:99999/", "rtsp://u:secret@[::1/x", "ftp://u:secret@h/x",
        "/nowhere/film.mp4", "x" * 10_000, "a\0b", "/films/caf\udce9.mp4",
    ],
)  # fmt: skip
def test_a_uri_that_means_nothing_is_one_line(uri: str) -> None:
    with pytest.raises(SightlineError) as caught:
        parse_source_uri(uri)
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_unreachable_rtsp_host_is_named_at_once() -> None:
    with socket.socket() as taken:  # bound but not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SourceLostError, match="connection refused") as caught:
            open_at(HandClock(), f"rtsp://me:secret@127.0.0.1:{port}/x")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_host_that_answers_but_sends_nothing_is_given_up_and_holds_nobody_up(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = film(tmp_path / "a.avi")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        port = mute.getsockname()[1]
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(open_at, HandClock(), f"rtsp://me:secret@127.0.0.1:{port}/x")
            with mute.accept()[0], mute.accept()[0]:  # the second is FFmpeg, which waits now
                read_all(open_at(HandClock(), str(path), pace="fast"))
                assert not hanging.done()
                with pytest.raises(SourceLostError, match="sends no video"):
                    hanging.result()
    shown = capfd.readouterr()
    assert "secret" not in shown.out + shown.err


def test_a_missing_device_is_one_line() -> None:
    with pytest.raises(SourceLostError, match="no such device"):
        open_at(HandClock(), "device:63")


def test_a_film_s_times_are_exact_and_its_last_picture_is_known(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", frames=31, fps=29.97)
    pictures = read_all(open_at(HandClock(), str(path), pace="fast", start_time=START))
    assert [one.captured_at_us - to_us(START) for one in pictures] == [
        round(number * 100 * US_PER_SECOND / 2997) for number in range(31)
    ]
    assert [one.last for one in pictures] == [False] * 30 + [True]


def test_a_film_at_its_own_pace_takes_its_time(tmp_path: Path) -> None:
    clock = HandClock()
    pictures = read_all(open_at(clock, str(film(tmp_path / "a.avi", frames=50))))
    assert len(pictures) == 50
    assert clock.seconds == pytest.approx(49 / 25)
    assert pictures[0].captured_at_us == to_us(START)


def test_a_film_read_fast_without_a_start_ends_now(tmp_path: Path) -> None:
    clock = HandClock()
    pictures = read_all(open_at(clock, str(film(tmp_path / "a.avi", frames=50)), pace="fast"))
    assert clock.seconds == 0
    assert pictures[-1].captured_at_us <= clock.now_us()


def test_a_looped_film_goes_on(tmp_path: Path) -> None:
    source = open_at(HandClock(), str(film(tmp_path / "a.avi", frames=5)), pace="fast", loop=True)
    pictures = [source.read() for _ in range(12)]
    source.close()
    shown = [one.image[0, 0, 0] for one in pictures if one is not None and one.image is not None]
    assert len(set(shown[:5])) == 5
    assert shown == [*shown[:5], *shown[:5], *shown[:2]]
    assert not any(one.last for one in pictures if one is not None)


@pytest.mark.parametrize(
    ("degrees", "size", "corner"),
    [(0, (64, 48), (0, 0)), (90, (48, 64), (0, -1)), (180, (64, 48), (-1, -1)),
     (270, (48, 64), (-1, 0))],
)  # fmt: skip
def test_a_camera_mounted_sideways_is_turned(
    tmp_path: Path, degrees: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[0, 0] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    camera = validated(
        NewCamera,
        camera_id="a",
        uri=str(tmp_path),
        settings=validated(CameraSettings, rotate=degrees, pace="fast", motion=False),
    )
    [picture] = read_all(open_at(HandClock(), str(tmp_path), pace="fast"))
    cutter = EventCutter("a", camera.settings, FrameCounts())
    [frame] = FrameEncoder(camera).encode(cutter.process(picture), FrameCounts(), live=False)
    assert (frame.width, frame.height) == size
    decoded = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert decoded is not None and decoded[corner] > 100
    result = probe_camera(camera, SystemClock())
    assert (result["width"], result["height"]) == size


@pytest.mark.slow
def test_pictures_too_large_for_kafka_are_sent_with_a_lower_quality(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (3000, 4500, 3), np.uint8)
    camera = validated(NewCamera, camera_id="a", uri="x")
    coarse = validated(NewCamera, camera_id="a", uri="x", settings=CameraSettings(quality=30))
    counts = FrameCounts()

    def encode(encoder: FrameEncoder, image: BGRImage) -> list[pb.Frame]:
        cutter = EventCutter("a", CameraSettings(motion=False), counts)
        return encoder.encode(cutter.process(CapturedPicture(image, 1)), counts, live=True)

    encoder = FrameEncoder(camera)
    [frame] = encode(encoder, noise)
    limit = topics.frames(camera.fleet).max_record_bytes
    assert limit / 2 < frame.ByteSize() < limit
    assert "lower quality" in str(encoder.warning)
    [small] = encode(encoder, noise[:48, :64])
    assert encoder.warning is None
    assert small.jpeg == encode_image(noise[:48, :64], camera.settings)[0]
    encoder = FrameEncoder(coarse)
    assert encode(encoder, np.tile(noise, (2, 2, 1))) == []
    assert counts.dropped == {"too_large": 1}
    assert "dropped" in str(encoder.warning)


def test_a_folder_by_name_with_a_corrupt_image(tmp_path: Path) -> None:
    for name, grey in (("b.png", 20), ("a.png", 10), ("d.png", 40)):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30, 3), grey, np.uint8))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "e.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    pictures = read_all(open_at(HandClock(), str(tmp_path), pace="fast", fps=2, start_time=START))
    greys = [None if one.image is None else int(one.image[0, 0, 0]) for one in pictures]
    assert greys == [10, 20, None, 40, None]
    assert pictures[3].captured_at_us - to_us(START) == 1_500_000
    assert pictures[4].last


@pytest.mark.parametrize("content", [b"", b"no film at all" * 100])
def test_a_broken_film_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceLostError, match="not a film"):
        open_at(HandClock(), str(path))


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceLostError, match="no images"):
        open_at(HandClock(), str(tmp_path))


def test_a_gif_is_a_film(shared: Path) -> None:
    gif = shared / "media" / "face-demographics-walking.gif"
    pictures = read_all(open_at(HandClock(), str(gif), pace="fast"))
    assert len(pictures) == 35
    assert all(one.image is not None and one.image.shape == (270, 480, 3) for one in pictures)


def test_trying_a_camera_out(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi")
    camera = validated(
        NewCamera, camera_id="a", uri=str(path), settings=CameraSettings(pace="fast", loop=True)
    )
    result = probe_camera(camera, SystemClock())
    assert (result["width"], result["height"], result["fps"]) == (64, 48, 25.0)


@pytest.mark.parametrize("pictures", [0, 7, 30, 75])
def test_a_film_goes_on_where_it_was(tmp_path: Path, pictures: int) -> None:
    path = str(film(tmp_path / "a.avi"))
    whole = read_all(open_at(HandClock(), path, start_time=START))
    before = ResumePoint(to_us(START), min(pictures, len(whole)))
    clock = HandClock()
    clock.seconds = 1000.0  # a later life, which knows when the first one began
    again = read_all(open_source(path, CameraSettings(), clock, clock.wait, before))
    assert [one.captured_at_us for one in again] == [one.captured_at_us for one in whole]
    assert [pixels(one) for one in again] == [pixels(one) for one in whole]
    # It is caught up at once, and has its pace from there on.
    assert clock.seconds - 1000 == pytest.approx(max(0, len(whole) - 1 - pictures) / 25)

    looped = open_source(path, validated(CameraSettings, loop=True), clock, clock.wait, before)
    there = before.pictures
    first = eventually(looped.read)
    assert first is not None
    assert first.captured_at_us == to_us(START) + there * US_PER_SECOND // 25
    assert pixels(first) == pixels(whole[there % len(whole)])
    looped.close()


def test_what_does_not_wait_is_known_by_its_address() -> None:
    live = ["rtsp://cam/a", "HTTP://cam/a", "device:0", "/dev/video0"]
    assert all(is_live(uri) for uri in live)
    assert not any(is_live(uri) for uri in ["/films/a.mp4", "file:///a.mp4", "folder", "a:b"])

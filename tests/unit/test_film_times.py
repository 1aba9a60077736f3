"""Films and photos: their own times, gaps, damaged parts, joined recordings."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from producers.event_cutter import EventCutter, EventFrame
from producers.film import FilmTimes
from producers.frame_accounting import FrameCounts
from producers.source_interface import CapturedPicture
from producers.sources import open_source
from sightline.runtime.clock import US_PER_SECOND, to_us
from sightline.storage.cameras import CameraSettings, validated
from tests.unit.test_camera_sources import START, HandClock, read_all

HOUR_US = 3600 * US_PER_SECOND


def times(timestamps_ms: list[float], fps: float = 25.0) -> tuple[list[int], int]:
    film = FilmTimes(Fraction(fps))
    given = [film.next(timestamp) for timestamp in timestamps_ms]
    return [offset for offset, _lost in given], sum(lost for _offset, lost in given)


def test_timestamps_count_from_the_first_picture() -> None:
    assert times([66.7, 100.0, 1100.0]) == ([0, 33_300, 1_033_300], 0)


@pytest.mark.parametrize("unknown", [0.0, -1.0, float("nan")])
def test_without_timestamps_pictures_follow_at_the_frame_rate(unknown: float) -> None:
    assert times([unknown] * 4, 30) == ([0, 33_333, 66_667, 100_000], 0)


def test_times_increase_where_pictures_are_out_of_order() -> None:
    offsets, lost = times([0, 40, 120, 80, 160])
    assert offsets == [0, 40_000, 120_000, 120_001, 160_000]
    assert lost == 0


def test_timestamps_that_start_again_go_on_at_the_frame_rate() -> None:
    part = [number * 40.0 for number in range(100)]
    offsets, lost = times([*part, *part])
    assert offsets == [number * 40_000 for number in range(200)]
    assert lost == 0


def test_a_short_hole_in_a_film_of_constant_rate_has_lost_pictures() -> None:
    before, after = [n * 40.0 for n in range(50)], [n * 40.0 for n in range(60, 100)]
    assert times([*before, *after])[1] == 10
    assert times([*before, *(at + 3_600_000 for at in after)])[1] == 0, "a pause"


def test_no_picture_is_lost_in_a_film_of_varying_rate() -> None:
    uneven = [n * 33.3 for n in range(60)] + [2000.0 + n * 1000 for n in range(20)]
    assert times(uneven, 4.188)[1] == 0


# Real films, as FFmpeg writes them.


def ffmpeg(*arguments: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg")
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL
    )


def write_film(path: Path, seconds: int, *options: str, fps: int = 30) -> Path:
    ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=320x240:r={fps}:d={seconds}", *options,
        "-c:v", "libx264", "-g", str(fps), str(path),
    )  # fmt: skip
    return path


def read(path: Path, **settings: Any) -> list[CapturedPicture]:
    clock = HandClock()
    how = {"pace": "fast", "start_time": START, **settings}
    return read_all(open_source(str(path), validated(CameraSettings, **how), clock, clock.wait))


def seconds_of(pictures: list[CapturedPicture]) -> list[float]:
    return [(picture.captured_at_us - to_us(START)) / US_PER_SECOND for picture in pictures]


def cut(pictures: list[CapturedPicture]) -> list[EventFrame]:
    """What is published of them."""
    cutter = EventCutter("film", CameraSettings(motion=False), FrameCounts())
    frames: list[EventFrame] = []
    for picture in pictures:
        if picture.time_restarts:
            frames += cutter.finish()
            cutter.restart_time()
        frames += cutter.process(picture)
    return frames


@pytest.mark.slow
def test_a_film_of_varying_rate_has_its_own_times(tmp_path: Path) -> None:
    """The reproduction: 2 s at 30 fps, then 20 s at 1 fps; the times were those of 4.2 fps."""
    uneven = "select='lt(t,2)+not(mod(n,30))'"
    film = write_film(tmp_path / "vfr.mp4", 22, "-vf", uneven, "-fps_mode", "vfr")
    found = seconds_of(read(film))
    assert found[60:] == pytest.approx([2.0 + n for n in range(20)], abs=0.001)
    assert found[:60] == pytest.approx([n / 30 for n in range(60)], abs=0.001)


@pytest.mark.slow
def test_a_gap_between_joined_recordings_ends_the_event(tmp_path: Path) -> None:
    """The reproduction: 4 s and 4 s, an hour apart."""
    first = write_film(tmp_path / "1.ts", 4)
    second = write_film(tmp_path / "2.ts", 4, "-output_ts_offset", "3604")
    film = tmp_path / "jump.ts"
    film.write_bytes(first.read_bytes() + second.read_bytes())
    pictures = read(film)
    found = seconds_of(pictures)
    assert len(found) == 240
    assert found[120] - found[119] == pytest.approx(3600, abs=0.1)
    assert [picture.time_restarts for picture in pictures].index(True) == 120
    frames = cut(pictures)
    starts = [frame.captured_at_us for frame in frames if frame.first]
    assert starts == [to_us(START), pictures[120].captured_at_us]
    assert sum(frame.last for frame in frames) == 2


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_damaged_second_is_counted_and_the_film_goes_on(tmp_path: Path, suffix: str) -> None:
    """The reproduction: 5% of the bytes, from a third on, are zeros; the film ended there."""
    film = write_film(tmp_path / f"film.{suffix}", 12, fps=25)
    data = bytearray(film.read_bytes())
    begin = len(data) // 3
    data[begin : begin + len(data) // 20] = bytes(len(data) // 20)
    film.write_bytes(data)
    pictures = read(film)
    decoded = [picture for picture in pictures if picture.image is not None]
    broken = sum(picture.broken + (picture.image is None) for picture in pictures)
    assert len(decoded) > 260
    assert 300 <= len(decoded) + broken <= 302
    assert seconds_of(decoded)[-1] == pytest.approx(299 / 25, abs=0.001), "later ones on time"


@pytest.mark.slow
def test_what_is_missing_at_the_end_of_a_film_is_counted(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 4, "-movflags", "+faststart")
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    pictures = read(film)
    assert sum(1 + picture.broken for picture in pictures) == 120
    assert sum(picture.image is not None for picture in pictures) < 100


@pytest.mark.slow
def test_no_capture_time_lies_in_the_future(tmp_path: Path) -> None:
    """A film read fast ends now; the header of one of varying rate says too little."""
    uneven = "select='lt(t,2)+not(mod(n,30))'"
    film = write_film(tmp_path / "vfr.mp4", 22, "-vf", uneven, "-fps_mode", "vfr")
    clock = HandClock()
    source = open_source(str(film), CameraSettings(pace="fast"), clock, clock.wait)
    while True:
        try:
            picture = source.read()
        except EOFError:
            break
        assert picture is None or picture.captured_at_us <= clock.now_us()
    source.close()


# Folders of photos.


def photo(path: Path, grey: int, taken: datetime | None, zone: str = "") -> None:
    exif = Image.Exif()
    if taken is not None:
        tags = exif.get_ifd(ExifTags.IFD.Exif)
        tags[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
        if zone:
            tags[ExifTags.Base.OffsetTimeOriginal] = zone
    Image.fromarray(np.full((20, 30, 3), grey, np.uint8)).save(path, exif=exif)


def test_photos_have_the_times_when_they_were_taken(tmp_path: Path) -> None:
    noon = START.replace(hour=0) - timedelta(days=30)
    photo(tmp_path / "a.jpg", 30, noon + timedelta(hours=2), "+00:00")
    photo(tmp_path / "b.jpg", 90, noon, "+00:00")
    photo(tmp_path / "c.jpg", 150, None)
    photo(tmp_path / "d.jpg", 210, noon + timedelta(hours=3), "+02:00")  # 01:00 UTC
    pictures = read(tmp_path, start_time=None)
    greys = [int(one.image[0, 0, 0]) // 10 for one in pictures if one.image is not None]
    assert greys == [9, 15, 21, 3]
    taken = [one.captured_at_us - to_us(noon) for one in pictures]
    assert taken == [0, US_PER_SECOND // 10, HOUR_US, 2 * HOUR_US]
    assert [one.time_restarts for one in pictures] == [False, False, True, True]


def test_a_given_start_time_wins_over_the_photos_own(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", 30, START - timedelta(days=1))
    photo(tmp_path / "b.jpg", 90, START - timedelta(days=2))
    assert seconds_of(read(tmp_path, fps=2)) == [0.0, 0.5]


def test_a_photo_from_the_future_has_no_time(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", 30, datetime.now(UTC) + timedelta(days=9000), "+00:00")
    clock = HandClock()
    settings = CameraSettings(pace="fast")
    [picture] = read_all(open_source(str(tmp_path), settings, clock, clock.wait))
    assert picture.captured_at_us <= clock.now_us()


def test_photos_play_at_the_frame_rate_whenever_they_were_taken(tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / f"{number}.jpg", 50, START - timedelta(days=9 - number))
    clock = HandClock()
    settings = CameraSettings(fps=2)
    pictures = read_all(open_source(str(tmp_path), settings, clock, clock.wait))
    assert len(pictures) == 4
    assert clock.seconds == pytest.approx(1.5)


def test_files_that_are_no_photos_are_left_alone(tmp_path: Path) -> None:
    """A Mac leaves "._a.jpg" beside each; Windows calls a JPEG .jfif."""
    photo(tmp_path / "a.jpg", 30, None)
    (tmp_path / "._a.jpg").write_bytes(b"\0\5\26\7")
    (tmp_path / "b.jfif").write_bytes((tmp_path / "a.jpg").read_bytes())
    for suffix in ("avif", "gif", "webp", "tiff"):
        photo(tmp_path / f"c.{suffix}", 30, None)
    heic = Path(__file__).parents[1] / "models" / "person.heic"
    (tmp_path / "d.HEIC").write_bytes(heic.read_bytes())
    (tmp_path / "e.heic").write_bytes(heic.read_bytes()[:5000])
    pictures = read(tmp_path)
    assert [one.image is not None for one in pictures] == [True] * 7 + [False]
    assert pictures[6].image is not None and pictures[6].image.shape == (515, 481, 3)

"""A camera's file: whatever happens and wherever it is killed, the account balances."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers import frame_accounting
from producers.event_cutter import Event
from producers.frame_accounting import FrameCounts
from producers.spool import DiskError, ReadPosition, Spool, UnconfirmedOffset
from schemas import sightline_pb2 as pb
from sightline.runtime.errors import InfrastructureError

STARTED, ENDED = pb.MotionEvent.STARTED, pb.MotionEvent.ENDED


@pytest.fixture
def home() -> Iterator[Path]:
    with folder() as found:
        yield found


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as found:
        yield Path(found)


class Feeder:
    """Puts frames into a spool as a camera does, and knows what has to be in it."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.event: Event | None = None
        self.delivered: Counter[str] = Counter()
        self.number = 0

    def take(self, *, last: bool = False, size: int = 100) -> None:
        """One more picture of the open event, or the first of a new one."""
        before = self.spool.position
        self.number = before.sequence + 1
        now = ReadPosition(sequence=self.number, pictures=before.pictures + 1)
        begins = self.event is None
        first = self.number if self.event is None else self.event.first_sequence
        self.event = Event(f"event {first}", first, first, self.number, self.number, last)
        frame = pb.Frame(
            sequence=self.number,
            captured_at_us=self.number,
            motion_event_id=self.event.event_id,
            first_in_event=begins,
            last_in_event=last,
            jpeg=bytes(size),
        )
        self.spool.put([frame], self.event, FrameCounts(1), now)
        if last:
            self.event = None

    def idle(self) -> None:
        """A picture in which nothing moves."""
        tally = FrameCounts(1)
        tally.drop("no_motion")
        self.spool.put([], None, tally, self.spool.position)

    def deliver(self, frames: int) -> None:
        """Kafka takes the oldest frames."""
        found = self.spool.after(0, frames)
        for waiting in found:
            self.delivered[pb.Frame.FromString(waiting.value).motion_event_id] += 1
        self.spool.deliver(
            [waiting.number for waiting in found], UnconfirmedOffset("frames", 1, self.number)
        )

    def drop(self) -> None:
        """The buffer is too small for the oldest one."""
        oldest = self.spool.oldest_after(0, ends=True)
        if oldest is not None and oldest in self.spool.oldest_numbers(1 << 30).values():
            self.spool.drop([oldest], "broker")

    def kill(self, home: Path) -> None:
        """Another life goes on with what is on disk at this moment."""
        self.spool.close()
        self.spool = Spool(home, "door")
        self.spool.end_event()
        if self.event is not None:
            self.number = self.spool.position.sequence
        self.event = None


steps = st.lists(
    st.one_of(st.sampled_from(["take", "last", "idle", "drop", "kill"]), st.integers(1, 5)),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=25)
@given(steps)
def test_the_account_balances_whatever_happens(given_steps: list[str | int]) -> None:
    with folder() as home:
        feeder = Feeder(Spool(home, "door"))
        for step in given_steps:
            match step:
                case int(frames):
                    feeder.deliver(frames)
                case "take" | "last":
                    feeder.take(last=step == "last")
                case "idle":
                    feeder.idle()
                case "drop":
                    feeder.drop()
                case _:
                    feeder.kill(home)
            found = frame_accounting.read_accounts(home)["door"]
            assert found == feeder.spool.account
            assert found.balances
        feeder.kill(home)
        feeder.deliver(1000)
        assert feeder.spool.account.waiting == 0
        assert feeder.spool.bytes == 0
        for kind, event in feeder.spool.pending_announcements():
            assert kind == STARTED
            feeder.spool.mark_published(kind, event.event_id)
        for kind, event in feeder.spool.pending_announcements():
            assert kind == ENDED
            assert event.delivered == feeder.delivered[event.event_id]
            feeder.spool.mark_published(kind, event.event_id)
        assert not feeder.spool.pending_announcements()
        feeder.spool.close()


def test_a_copy_of_the_file_amid_work_is_whole(home: Path) -> None:
    """What a kill leaves is what the kernel has: the same as a copy of it."""
    feeder = Feeder(Spool(home / "one", "door"))
    for _ in range(300):  # some of it in the log still, some of it in the file
        feeder.take(size=30_000)
    feeder.deliver(200)
    shutil.copytree(home / "one", home / "two")
    again = Spool(home / "two", "door")
    assert again.account == feeder.spool.account
    assert (again.account.delivered, again.account.waiting) == (200, 100)
    assert again.position == feeder.spool.position
    assert again.unconfirmed_offset == feeder.spool.unconfirmed_offset
    again.close()
    feeder.spool.close()


def test_an_event_that_is_left_open_ends_with_its_last_picture(home: Path) -> None:
    feeder = Feeder(Spool(home, "door"))
    for _ in range(3):
        feeder.take()
    feeder.deliver(3)
    feeder.spool.put([], None, FrameCounts(2), ReadPosition(sequence=5, held=2))
    feeder.kill(home)
    assert feeder.spool.account.dropped == {"stopped": 2}
    [waiting] = feeder.spool.after(0, 10)
    frame = pb.Frame.FromString(waiting.value)
    assert (frame.sequence, frame.captured_at_us) == (6, 4)
    assert (frame.first_in_event, frame.last_in_event) == (False, True)
    feeder.deliver(1)
    assert [(kind, event.delivered) for kind, event in feeder.spool.pending_announcements()] == [
        (STARTED, 4)
    ]
    feeder.spool.mark_published(STARTED, "event 1")
    [(kind, event)] = feeder.spool.pending_announcements()
    assert (kind, event.last_at_us, event.last_sequence) == (ENDED, 4, 6)
    feeder.spool.close()


def test_the_oldest_go_first_but_not_an_event_s_ends(home: Path) -> None:
    feeder = Feeder(Spool(home, "door"))
    for last in (False, False, False, True) * 2:
        feeder.take(last=last)
    went: list[int] = []
    while (oldest := feeder.spool.oldest_after(1, ends=len(went) > 3)) is not None:
        feeder.spool.drop([oldest], "broker")
        went.append(oldest)
    assert went == [2, 3, 6, 7, 4, 5, 8]
    assert feeder.spool.account.waiting == 1
    assert feeder.spool.has_after(0)
    assert not feeder.spool.has_after(1)
    feeder.spool.close()


def test_a_full_disk_changes_nothing(home: Path) -> None:
    feeder = Feeder(Spool(home, "door"))
    feeder.take()
    [[pages]] = feeder.spool._query("PRAGMA page_count")
    feeder.spool._query(f"PRAGMA max_page_count = {pages}")  # the file system's limit, in SQLite's
    before, position = frame_accounting.read_accounts(home)["door"], feeder.spool.position
    with pytest.raises(DiskError, match="full"):
        feeder.take(size=100_000)
    assert frame_accounting.read_accounts(home)["door"] == before
    assert feeder.spool.position == position
    feeder.idle()  # a count needs no room
    assert feeder.spool.account.captured == before.captured + 1
    feeder.spool.close()


def test_two_processes_do_not_read_one_camera(home: Path) -> None:
    spool = Spool(home, "door")
    with pytest.raises(InfrastructureError, match="another process"):
        Spool(home, "door")
    spool.close()
    Spool(home, "door").close()


def test_a_broken_file_is_one_line(home: Path) -> None:
    Spool(home, "door").close()
    (home / "cameras" / "door.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(DiskError, match="broken: remove it"):
        Spool(home, "door")


@pytest.mark.slow
def test_a_large_file_becomes_small_again(home: Path) -> None:
    feeder = Feeder(Spool(home, "door"))
    for _ in range(40):
        feeder.take(size=1_000_000, last=True)
    [[before]] = feeder.spool._query("PRAGMA page_count")
    feeder.deliver(40)
    for _ in range(10):
        feeder.spool.shrink()
    [[after]] = feeder.spool._query("PRAGMA page_count")
    assert (before > 9000, after < 5000) == (True, True)
    feeder.spool.close()

"""What a dead letter keeps of its record, how it is sent again, and what of it is shown."""

from ops.dead_letters.operations import replay_record
from ops.dead_letters.record_preview import preview_record
from schemas import sightline_pb2 as pb
from schemas.naming import sink_group
from schemas.topics import LIVE, MOTION_EVENTS, SIGHTINGS, TRACKS
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.headers import Headers
from sightline.streaming.dead_letters import dead_letter
from sightline.streaming.records import RETRY_FOR, RETRY_OF, OutputRecord, Record
from sinks.runtime.sink import topics_of
from sinks.visitor_log import frames_by_event

NOW_US = 1_790_000_000_000_000


def process() -> None:
    raise PoisonRecord("bad_thing", "x" * 5000)


def refuse(record: Record) -> pb.DeadLetter:
    """The letter of a service that refuses a record."""
    try:
        process()
    except PoisonRecord as error:
        out = dead_letter(record, "access-log", error, NOW_US, run="a")
    return pb.DeadLetter.FromString(out.value or b"")


def record(headers: Headers = (), offset: int = 41) -> Record:
    return Record("sightings", 2, offset, b"\xffkey", b"value", 1234, headers)


def received(out: OutputRecord, offset: int) -> Record:
    """What a service reads of it."""
    key = out.key.encode(errors="surrogateescape")
    return Record(out.topic, 2, offset, key, out.value, out.timestamp_ms, out.headers)


def test_a_letter_has_all_of_its_record_and_where_it_was_given_up() -> None:
    letter = refuse(record((("trace", b"abc"),)))
    assert (letter.source.topic, letter.source.partition, letter.source.offset) == (
        "sightings",
        2,
        41,
    )
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"\xffkey", b"value", 1234)
    assert [(one.key, one.value) for one in letter.headers] == [("trace", b"abc")]
    assert (letter.reason, letter.run, len(letter.detail)) == ("bad_thing", "a", 2000)
    assert "in process" in letter.stack


def test_a_letter_is_sent_again_as_it_was_and_for_its_service() -> None:
    out = replay_record(refuse(record((("trace", b"abc"),))))
    assert (out.topic, out.partition, out.value, out.timestamp_ms) == (
        "sightings",
        2,
        b"value",
        1234,
    )
    once = received(out, 50)
    assert once.key == b"\xffkey"
    assert once.headers[0] == ("trace", b"abc")
    assert (once.retry_for, once.retry_of) == ("access-log", 41)
    # Given up once more it still says where it was first.
    twice = received(replay_record(refuse(once)), 60)
    assert (twice.retry_for, twice.retry_of) == ("access-log", 41)
    assert len(twice.headers) == 3


def test_headers_that_anybody_may_write_break_nothing() -> None:
    odd = record(((RETRY_FOR, b"\xff"), (RETRY_OF, b"9" * 5000)))
    assert odd.retry_for == "\ufffd"
    assert odd.retry_of is None
    assert record(((RETRY_OF, b"-1"),)).retry_of is None


def test_a_record_is_shown_without_faces() -> None:
    look = pb.Template(template_id="t", vector=b"\0" * 2048)
    fact = pb.Fact(track=pb.TrackCorrection(global_id=7, templates=[look]))
    assert preview_record("facts", fact.SerializeToString()) == {
        "track": {
            "global_id": 7,
            "templates": [{"template_id": "t", "vector": "(2048 bytes)"}],
        }
    }
    event = pb.MotionEvent(camera_id="door", kind=pb.MotionEvent.ENDED)
    assert preview_record("motion-events", event.SerializeToString()) == {
        "camera_id": "door",
        "kind": "ENDED",
    }
    frame = pb.Frame(camera_id="door", jpeg=b"picture").SerializeToString()
    assert preview_record("frames.default", frame) == {"camera_id": "door", "jpeg": "(7 bytes)"}
    assert preview_record("tracks.run-a", b"\xff") is None
    assert preview_record("of-somebody-else", b"") is None


def test_a_run_reads_and_is_called_what_is_its_own() -> None:
    kinds = ((TRACKS, pb.FrameTracks), (SIGHTINGS, pb.Sighting), (MOTION_EVENTS, pb.MotionEvent))
    assert list(topics_of(LIVE, *kinds)) == ["tracks", "sightings", "motion-events"]
    assert list(topics_of("a", *kinds)) == ["tracks.run-a", "sightings.run-a"]
    assert (sink_group("x", LIVE), sink_group("x", "a")) == ("sightline-x", "sightline-x.run-a")


def test_a_frame_that_comes_again_is_not_counted_again() -> None:
    frame = pb.FrameTracks(motion_event_id="e", camera_id="door", captured_at_us=5)
    once_more = pb.FrameTracks(
        motion_event_id="e", camera_id="door", captured_at_us=9, last_in_event=True, again=True
    )
    (event,) = frames_by_event([frame, once_more])
    assert (event.frames, event.last_frame_us, event.all_seen) == (1, 9, True)

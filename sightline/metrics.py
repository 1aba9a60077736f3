"""Every metric, declared once with its meaning, unit and labels of bounded number."""

from prometheus_client import Counter, Gauge, Histogram

FRAMES_CAPTURED = Counter("sightline_frames_captured", "Frames read from a camera", ["camera"])
FRAMES_DELIVERED = Counter(
    "sightline_frames_delivered", "Frames that Kafka has acknowledged", ["camera"]
)
FRAMES_DROPPED = Counter(
    "sightline_frames_dropped",
    "Frames captured and not delivered, by reason"
    " (no_motion, rate_cap, overrun, bad_image, too_large, broker, disk_full, stopped)",
    ["camera", "reason"],
)
FRAMES_WAITING = Gauge(
    "sightline_frames_waiting", "Frames captured whose fate is not known yet", ["camera"]
)
CAMERA_UP = Gauge("sightline_camera_up", "1 while frames come from the camera", ["camera"])
CAMERA_RECONNECTS = Counter(
    "sightline_camera_reconnects", "Attempts to reach a camera that was lost", ["camera"]
)

FRAMES_PROCESSED = Counter("sightline_frames_processed", "Frames through vision", ["fleet"])
STAGE_SECONDS = Histogram(
    "sightline_stage_seconds",
    "Time of one stage for one frame (decode, detect, track, faces, embed, commit)",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
TRACKS_LIVE = Gauge("sightline_tracks_live", "Tracks that a worker follows now", ["fleet"])
FRAMES_SKIPPED = Counter(
    "sightline_frames_skipped",
    "Frames that vision did not look at, by reason (behind)",
    ["camera", "reason"],
)
FRAME_AGE_SECONDS = Gauge(
    "sightline_frame_age_seconds", "Age of a live camera's last frame when vision came", ["camera"]
)
VISION_BEHIND = Gauge(
    "sightline_vision_behind", "1 while vision skips a live camera's frames", ["camera"]
)
VISION_STATE_BYTES = Histogram(
    "sightline_vision_state_bytes",
    "Size of what is kept of a camera after a batch, 0 where its event is over",
    buckets=(0, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144),
)
FACES = Counter(
    "sightline_faces",
    "Faces found, by outcome (embedded, small, cut, blurred, turned, uncertain, spaced)",
    ["outcome"],
)
FACE_SEARCHES_SAVED = Counter(
    "sightline_face_searches_saved", "Person boxes left alone because their track is settled"
)

DECISIONS = Counter("sightline_decisions", "Identity decisions by outcome", ["status"])
GALLERY_TEMPLATES = Gauge("sightline_gallery_templates", "Templates that a matcher holds")
GALLERY_PEOPLE = Gauge("sightline_gallery_people", "Enrolled people that a matcher holds")

RECORDS = Counter("sightline_records", "Records taken by a service, by topic", ["service", "topic"])
DEAD_LETTERS = Counter(
    "sightline_dead_letters", "Records given up on, by service and reason", ["service", "reason"]
)
ROWS = Counter("sightline_rows", "Rows written by a sink", ["sink", "table"])
SINK_WAITING = Gauge("sightline_sink_waiting", "1 while a sink waits for the database", ["sink"])
BATCH_SECONDS = Histogram("sightline_batch_seconds", "Time of one sink transaction", ["sink"])
CAPTURE_TO_ROW_SECONDS = Histogram(
    "sightline_capture_to_row_seconds",
    "From a frame's capture to the row that rests on it",
    ["sink"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
)

UNREAD_SHARE = Gauge(
    "sightline_unread_share",
    "What a group has yet to read, as a share of what the topic keeps, in its worst partition:"
    " from 1 on records are deleted unread",
    ["group", "topic"],
)
RECORDS_LOST = Counter(
    "sightline_records_lost", "Records deleted before a group had read them", ["group", "topic"]
)
ROWS_EXPIRED = Counter("sightline_rows_expired", "Rows deleted as their time was over", ["table"])

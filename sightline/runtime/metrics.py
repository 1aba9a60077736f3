"""Every metric, declared once with its meaning, unit and labels of bounded number.

A label is a camera, a fleet, a topic, a group, a table or a worker, or one of the words in
parentheses: never a person, a track or a record. Counters end in `_total` where they are read.
Each process counts for itself: counters, histograms and lags of workers are added
(`sum without (instance)`), of what every worker holds a copy of (the gallery) the largest is taken.
Of what was filmed more than a day ago, and of films read faster than time, no age is observed.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from sightline import __version__

# The time of each counter's beginning would be as many series again.
disable_created_metrics()  # type: ignore[no-untyped-call]

_LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 300)
_FILMED_EARLIER = 86_400.0
_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)

BUILD_INFO = Gauge("sightline_build_info", "1, with the version of the code", ["version"])
BUILD_INFO.labels(__version__).set(1)

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
CAMERA_FPS = Gauge(
    "sightline_camera_frames_per_second",
    "Frames read from the camera per second, of the last seconds",
    ["camera"],
)
CAMERA_RECONNECTS = Counter(
    "sightline_camera_reconnects", "Attempts to reach a camera that was lost", ["camera"]
)

FRAMES_PROCESSED = Counter("sightline_frames_processed", "Frames through vision", ["fleet"])
STAGE_SECONDS = Histogram(
    "sightline_stage_seconds",
    "Time of one stage: of a frame at a camera (motion, encode), of a frame in vision (decode,"
    " detect, track, faces, embed, and commit of a batch), of a shot in matching (decide)",
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
VISION_SKIPPED_SHARE = Gauge(
    "sightline_vision_skipped_share",
    "Share of a live camera's frames that vision skipped within the last minute",
    ["camera"],
)
VISION_STATE_BYTES = Histogram(
    "sightline_vision_state_bytes",
    "Size of what is kept of a camera after a batch, 0 where its event is over",
    buckets=(0, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144),
)
FACES = Counter(
    "sightline_faces",
    "Faces found, by outcome (embedded, or refused as small, cut, dark, blurred,"
    " turned or uncertain; spaced: one that was looked at a moment before)",
    ["outcome"],
)
FACE_SEARCHES = Counter("sightline_face_searches", "Person boxes in which a face was looked for")
FACE_SEARCHES_SAVED = Counter(
    "sightline_face_searches_saved", "Person boxes left alone because their track is settled"
)
EMBEDDINGS = Counter("sightline_embeddings", "Faces embedded: calls of the embedding model")
EMBEDDINGS_SAVED = Counter(
    "sightline_embeddings_saved",
    "Person boxes that were not embedded because their track is settled, or its last look gave a"
    " shot a moment before; one whose face was not to be seen saves nothing",
)
MODEL_INFO = Gauge(
    "sightline_model_info",
    "1 for each model in use, with its pack and the provider that runs it",
    ["pack", "provider", "model"],
)
GPU_MEMORY_BYTES = Gauge(
    "sightline_gpu_memory_bytes",
    "Memory of a GPU in bytes (kind: used, total); absent where there is none",
    ["device", "kind"],
)

DECISIONS = Counter(
    "sightline_decisions",
    "Identity decisions, by status (provisional, confirmed, changed, ended) and outcome"
    " (known: an enrolled person; unknown: a stranger or nobody)",
    ["status", "outcome"],
)
DECISIONS_CHANGED = Counter(
    "sightline_decisions_changed",
    "Decisions that took an earlier one back: many of them raise the suspicion of false names",
)
CAPTURE_TO_NAME_SECONDS = Histogram(
    "sightline_capture_to_name_seconds",
    "From the capture of the frame that confirmed a name to its row in the database",
    buckets=_LATENCY,
)
SEEN_TO_NAME_SECONDS = Histogram(
    "sightline_seen_to_name_seconds",
    "From a track's first frame to the frame that confirmed its name, by their capture times",
    buckets=_LATENCY,
)
GALLERY_TEMPLATES = Gauge("sightline_gallery_templates", "Templates that a matcher holds")
GALLERY_PEOPLE = Gauge("sightline_gallery_people", "Enrolled people that a matcher holds")
STRANGERS = Gauge("sightline_strangers", "Unknown people that a matcher's sites remember")
INDEX_BYTES = Gauge(
    "sightline_index_bytes", "Memory of a matcher's search index in bytes, enrolled and strangers"
)
INDEX_SEARCH_SECONDS = Histogram(
    "sightline_index_search_seconds", "Time of one search of the index", buckets=_SHORT
)

RECORDS = Counter("sightline_records", "Records taken by a service, by topic", ["service", "topic"])
RECORD_WAIT_SECONDS = Histogram(
    "sightline_record_wait_seconds",
    "Queue time: from a record's time, which is that of the capture, to when a service takes it",
    ["service", "topic"],
    buckets=_LATENCY,
)
CONSUMER_LAG_RECORDS = Gauge(
    "sightline_consumer_lag_records",
    "Records that a consumer has yet to take, of its own partitions",
    ["group", "topic"],
)
CONSUMER_LAG_SECONDS = Gauge(
    "sightline_consumer_lag_seconds",
    "How long a consumer's next record has been waiting, in the worst of its partitions",
    ["group", "topic"],
)
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
OBJECTS_PUT_ASIDE = Counter(
    "sightline_objects_put_aside",
    "Objects that could not be deleted: each is tried again later, and counted again if it fails",
)

TOPIC_RECORDS = Gauge("sightline_topic_records", "Records that a topic keeps", ["topic"])
TOPIC_BYTES = Gauge("sightline_topic_bytes", "Size of what a topic keeps, in bytes", ["topic"])
DISK_FREE_BYTES = Gauge(
    "sightline_disk_free_bytes",
    "Free bytes of the disk of a place (home, objects, database)",
    ["place"],
)
DISK_SIZE_BYTES = Gauge(
    "sightline_disk_size_bytes",
    "Size in bytes of the disk of a place (home, objects, database)",
    ["place"],
)
CERTIFICATE_EXPIRES_SECONDS = Gauge(
    "sightline_certificate_expires_seconds",
    "When a certificate of the settings ends, as Unix time in seconds",
    ["name"],
)

SEALED_REFUSED = Counter(
    "sightline_sealed_refused",
    "Sealed objects and rows that did not open: changed, damaged or moved",
    ["what"],
)

API_REQUESTS = Counter(
    "sightline_api_requests",
    "Requests answered, by route as it is written in the API and by status code",
    ["method", "route", "status"],
)
API_REQUEST_SECONDS = Histogram(
    "sightline_api_request_seconds", "Time of one request, by route", ["route"]
)

SERVICE_READY = Gauge("sightline_service_ready", "1 while a service serves and waits for nothing")
SERVICE_DOWN = Gauge(
    "sightline_service_down",
    "1 while a process that the supervisor is to run does not run, or fails again and again",
    ["service", "instance_name"],
)
SERVICE_RESTARTS = Counter(
    "sightline_service_restarts",
    "Times that the supervisor has started a process again after it had failed",
    ["service", "instance_name"],
)
LOOP_AGE_SECONDS = Gauge(
    "sightline_loop_age_seconds",
    "Since the slowest loop of a service last came round; it is stuck from health.stuck_seconds on",
)


def show(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Set a gauge by the values of its labels; what it showed of others before is gone."""
    shown = {tuple(one.labels.values()) for family in gauge.collect() for one in family.samples}
    for labels in shown - values.keys():
        gauge.remove(*labels)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)


def observe_age(histogram: Histogram, seconds: float) -> None:
    """Observe how long ago something was captured, if that can be so: see above."""
    if -1.0 < seconds < _FILMED_EARLIER:
        histogram.observe(max(0.0, seconds))

"""Every metric, declared once with its meaning, unit and labels of bounded number.

A label is a camera, a fleet, a topic, a group, a table or a worker, or one of the words in
parentheses: never a person, a track or a record. Counters end in `_total` where they are read.
Each process has metrics of its own: counters, histograms and lags of workers are added
(`sum without (instance)`); of a copy that every worker holds (the gallery) the largest is taken.
Ages of frames captured more than a day ago, or in the future, are not observed.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from sightline import __version__

# A `_created` series for each counter would double their number.
disable_created_metrics()  # type: ignore[no-untyped-call]

_LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 300)
_MAX_AGE_SECONDS = 86_400.0
_SEARCH_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)

BUILD_INFO = Gauge("sightline_build_info", "1, with the version of the code", ["version"])
BUILD_INFO.labels(__version__).set(1)

FRAMES_CAPTURED = Counter("sightline_frames_captured", "Frames read from a camera", ["camera"])
FRAMES_DELIVERED = Counter(
    "sightline_frames_delivered", "Frames that Kafka has acknowledged", ["camera"]
)
FRAMES_DROPPED = Counter(
    "sightline_frames_dropped",
    "Frames captured and not delivered, by reason"
    " (no_motion, still, rate_cap, overrun, bad_image, too_large, broker, disk_full, stopped)",
    ["camera", "reason"],
)
FRAMES_WAITING = Gauge(
    "sightline_frames_waiting", "Frames captured and neither delivered nor dropped yet", ["camera"]
)
CAMERA_UP = Gauge("sightline_camera_up", "1 while the camera delivers frames", ["camera"])
CAMERA_FPS = Gauge(
    "sightline_camera_frames_per_second",
    "Frames read from the camera per second, over the last seconds",
    ["camera"],
)
CAMERA_RECONNECTS = Counter(
    "sightline_camera_reconnects", "Attempts to reach a camera that was lost", ["camera"]
)

FRAMES_PROCESSED = Counter("sightline_frames_processed", "Frames processed by vision", ["fleet"])
STAGE_SECONDS = Histogram(
    "sightline_stage_seconds",
    "Time of one stage: of a frame at a camera (motion, encode), of a frame in vision (decode,"
    " detect, track, faces, embed, and commit of a batch), of an observation in matching (decide)",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
TRACKS_LIVE = Gauge("sightline_tracks_live", "Live tracks of a worker", ["fleet"])
FRAMES_SKIPPED = Counter(
    "sightline_frames_skipped",
    "Frames that vision has shed, by reason (behind)",
    ["camera", "reason"],
)
FRAME_WAITING_SECONDS = Gauge(
    "sightline_frame_waiting_seconds",
    "Time that a live camera's latest frame had waited in Kafka when vision processed it",
    ["camera"],
)
CAPTURE_DELAY_SECONDS = Gauge(
    "sightline_capture_delay_seconds",
    "Time from a live camera's latest frame to its arrival in Kafka, by the clock of the camera's"
    " host and by that of vision's; below 0, or seconds all the time, the two clocks differ",
    ["camera"],
)
VISION_SHEDDING = Gauge(
    "sightline_vision_shedding", "1 while vision sheds a live camera's frames", ["camera"]
)
VISION_SKIPPED_RATIO = Gauge(
    "sightline_vision_skipped_ratio",
    "Ratio of a live camera's frames that vision has shed within the last minute",
    ["camera"],
)
VISION_STATE_BYTES = Histogram(
    "sightline_vision_state_bytes",
    "Size of a camera's state in bytes after a batch, 0 after the end of its event",
    buckets=(0, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144),
)
FACES = Counter(
    "sightline_faces",
    "Faces detected, by outcome (embedded, or refused as small, cut, dark, blurred,"
    " turned or uncertain; spaced: too soon after another observation)",
    ["outcome"],
)
FACE_DETECTIONS = Counter("sightline_face_detections", "Person boxes in which faces were detected")
FACE_DETECTIONS_SAVED = Counter(
    "sightline_face_detections_saved",
    "Person boxes in which no face was detected because their track is settled",
)
EMBEDDINGS = Counter("sightline_embeddings", "Faces embedded: calls of the embedding model")
EMBEDDINGS_SAVED = Counter(
    "sightline_embeddings_saved",
    "Person boxes that were not embedded because their track is settled, or because of an"
    " observation just before; a box without a visible face does not count",
)
MODEL_INFO = Gauge(
    "sightline_model_info",
    "1 for each model in use, with its pack and the provider that runs it",
    ["pack", "provider", "model"],
)
GPU_MEMORY_BYTES = Gauge(
    "sightline_gpu_memory_bytes",
    "Memory of a GPU in bytes (kind: used, total); absent without a GPU",
    ["device", "kind"],
)

DECISIONS = Counter(
    "sightline_decisions",
    "Identity decisions, by status (provisional, confirmed, changed, ended) and outcome"
    " (known: an enrolled person; unknown: an unknown person or none)",
    ["status", "outcome"],
)
DECISIONS_CHANGED = Counter(
    "sightline_decisions_changed",
    "Decisions that revoked an earlier one: many of them indicate false names",
)
CAPTURE_TO_NAME_SECONDS = Histogram(
    "sightline_capture_to_name_seconds",
    "From the capture of the frame that confirmed a name to its row in the database",
    buckets=_LATENCY_BUCKETS,
)
SEEN_TO_NAME_SECONDS = Histogram(
    "sightline_seen_to_name_seconds",
    "From a track's first frame to the frame that confirmed its name, by their capture times",
    buckets=_LATENCY_BUCKETS,
)
GALLERY_TEMPLATES = Gauge("sightline_gallery_templates", "Templates that a matcher holds")
GALLERY_PEOPLE = Gauge("sightline_gallery_people", "Enrolled people that a matcher holds")
UNKNOWN_PERSONS = Gauge(
    "sightline_unknown_persons", "Unknown persons in the galleries of a matcher's sites"
)
INDEX_BYTES = Gauge(
    "sightline_index_bytes",
    "Memory of a matcher's search index in bytes, of enrolled and unknown persons",
)
INDEX_SEARCH_SECONDS = Histogram(
    "sightline_index_search_seconds", "Time of one search of the index", buckets=_SEARCH_BUCKETS
)

RECORDS = Counter(
    "sightline_records", "Records consumed by a service, by topic", ["service", "topic"]
)
RECORD_WAIT_SECONDS = Histogram(
    "sightline_record_wait_seconds",
    "Queue time: from a record's time, the capture time, to its consumption by a service",
    ["service", "topic"],
    buckets=_LATENCY_BUCKETS,
)
CONSUMER_LAG_RECORDS = Gauge(
    "sightline_consumer_lag_records",
    "Records that a consumer has yet to consume, of its assigned partitions",
    ["group", "topic"],
)
CONSUMER_LAG_SECONDS = Gauge(
    "sightline_consumer_lag_seconds",
    "Time that a consumer's next record has been waiting, in the worst of its partitions",
    ["group", "topic"],
)
DEAD_LETTERS = Counter(
    "sightline_dead_letters",
    "Records sent to the dead letters, by service and reason",
    ["service", "reason"],
)
ROWS = Counter("sightline_rows", "Rows written by a sink", ["sink", "table"])
SINK_WAITING = Gauge("sightline_sink_waiting", "1 while a sink waits for the database", ["sink"])
BATCH_SECONDS = Histogram("sightline_batch_seconds", "Time of one sink transaction", ["sink"])
CAPTURE_TO_ROW_SECONDS = Histogram(
    "sightline_capture_to_row_seconds",
    "From a frame's capture to the row derived from it",
    ["sink"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64),
)

RETENTION_USED_RATIO = Gauge(
    "sightline_retention_used_ratio",
    "Records that a group has yet to read, as a ratio of those that the topic retains, in its"
    " worst partition: from 1 on records are deleted unread",
    ["group", "topic"],
)
RECORDS_LOST = Counter(
    "sightline_records_lost", "Records deleted before a group had read them", ["group", "topic"]
)
ROWS_EXPIRED = Counter(
    "sightline_rows_expired", "Rows deleted at the end of their time to live", ["table"]
)
OBJECT_DELETIONS_POSTPONED = Counter(
    "sightline_object_deletions_postponed",
    "Failed deletions of objects: each is retried later, and counted again if it fails",
)

TOPIC_RECORDS = Gauge("sightline_topic_records", "Records that a topic retains", ["topic"])
TOPIC_BYTES = Gauge(
    "sightline_topic_bytes", "Size of a topic's retained records in bytes", ["topic"]
)
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
    "Expiry of a certificate of the settings, as Unix time in seconds",
    ["name"],
)

DECRYPTION_FAILURES = Counter(
    "sightline_decryption_failures",
    "Encrypted objects and rows that could not be decrypted: changed, damaged or moved",
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

SERVICE_READY = Gauge("sightline_service_ready", "1 while a service is ready")
SERVICE_DOWN = Gauge(
    "sightline_service_down",
    "1 while a process of the supervisor does not run, or fails repeatedly",
    ["service", "instance_name"],
)
SERVICE_RESTARTS = Counter(
    "sightline_service_restarts",
    "Restarts of a process by the supervisor after a failure",
    ["service", "instance_name"],
)
LOOP_LAST_ITERATION_AGE_SECONDS = Gauge(
    "sightline_loop_last_iteration_age_seconds",
    "Since the last beat of a service's slowest loop, which is stuck from health.stuck_seconds on",
)


def set_series(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    """Set a gauge's values by their labels; series of other labels are removed."""
    present = {
        tuple(sample.labels.values()) for family in gauge.collect() for sample in family.samples
    }
    for labels in present - values.keys():
        gauge.remove(*labels)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)


def observe_age(histogram: Histogram, seconds: float) -> None:
    """Observe the age of a capture in seconds, unless it is out of range: see above."""
    if -1.0 < seconds < _MAX_AGE_SECONDS:
        histogram.observe(max(0.0, seconds))

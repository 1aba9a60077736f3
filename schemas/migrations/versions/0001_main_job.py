"""The main job: cameras, people, logs, snapshots, person state."""

from alembic import op

revision = "0001"
down_revision = None

_UP = """
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE rooms (
    room_id      text PRIMARY KEY,
    site_id      text NOT NULL DEFAULT 'default',
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cameras (
    camera_id    text PRIMARY KEY CHECK (camera_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    uri          text NOT NULL,
    site_id      text NOT NULL DEFAULT 'default',
    fleet        text NOT NULL DEFAULT 'default',
    entry_point  text,
    room_id      text REFERENCES rooms ON DELETE SET NULL,
    -- The camera's place within its fleet: frames go to partition slot modulo partitions, so
    -- that cameras spread evenly over workers, which a hash of few names does not.
    slot         integer,
    settings     jsonb NOT NULL DEFAULT '{}',
    -- A camera that is removed keeps its row, without a slot: logs refer to it.
    enabled      boolean NOT NULL DEFAULT true,
    status       text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'up', 'down', 'ended')),
    status_detail text,
    status_at    timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (fleet, slot),
    CHECK (slot IS NOT NULL OR NOT enabled)
);

CREATE TABLE employees (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    email            text UNIQUE CHECK (length(email) <= 320),
    department       text CHECK (length(department) <= 200),
    employee_id_code text UNIQUE CHECK (length(employee_id_code) <= 64),
    aws_face_id      text UNIQUE,
    photo_url        text,
    status           text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'suspended', 'left')),
    is_authorized    boolean NOT NULL DEFAULT true,
    enrolled_at      timestamptz NOT NULL DEFAULT now(),
    last_seen        timestamptz,
    created_by       text,
    notes            text,
    revision         bigint NOT NULL DEFAULT 1
);

CREATE TABLE face_templates (
    template_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    employee_id  uuid NOT NULL REFERENCES employees ON DELETE CASCADE,
    pack         text NOT NULL,
    embedding    vector NOT NULL,
    quality      real NOT NULL,
    photo_url    text,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX face_templates_employee ON face_templates (employee_id);

-- What is to be published once the transaction that wrote it has committed.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text NOT NULL,
    key          bytea NOT NULL,
    value        bytea,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Logs name their camera without a foreign key: they outlive it.
CREATE TABLE motion_events (
    event_id     uuid PRIMARY KEY,
    camera_id    text NOT NULL,
    started_at   timestamptz,         -- null while only frames of the event have been heard of
    ended_at     timestamptz,
    end_reported boolean NOT NULL DEFAULT false, -- else ended_at is the last frame seen
    first_sequence bigint,
    last_sequence  bigint,
    frames       bigint,
    frames_seen  bigint NOT NULL DEFAULT 0,
    last_frame_at timestamptz,
    all_seen     boolean NOT NULL DEFAULT false,
    processed    boolean NOT NULL DEFAULT false, -- ended, and all its frames have been seen
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX motion_events_camera ON motion_events (camera_id, started_at);
CREATE INDEX motion_events_frames ON motion_events (camera_id, last_frame_at);
CREATE INDEX motion_events_open ON motion_events (camera_id) WHERE NOT processed;

CREATE TABLE access_logs (
    id               uuid PRIMARY KEY,
    track_id         integer NOT NULL,
    person_name      text NOT NULL,
    employee_id      uuid REFERENCES employees ON DELETE SET NULL,
    is_authorized    boolean NOT NULL,
    access_status    text NOT NULL
        CHECK (access_status IN ('authorized', 'unauthorized', 'unknown')),
    confidence_score real NOT NULL CHECK (confidence_score BETWEEN 0 AND 1),
    aws_face_id      text,
    snapshot_path    text,
    timestamp        timestamptz NOT NULL,
    entry_point      text,
    location_x       real,
    location_y       real,
    flagged          boolean NOT NULL DEFAULT false,
    notes            text,
    track_uuid       uuid NOT NULL,
    epoch            integer NOT NULL,
    camera_id        text NOT NULL,
    site_id          text NOT NULL,
    global_id        bigint NOT NULL,
    motion_event_id  uuid,
    score            real NOT NULL,
    threshold        real NOT NULL,
    pack             text NOT NULL,
    frame_topic      text NOT NULL,
    frame_partition  integer NOT NULL,
    frame_offset     bigint NOT NULL,
    face_box         real[] NOT NULL,
    decision         smallint NOT NULL, -- breaks the tie of two decisions of one moment
    recorded_at      timestamptz NOT NULL DEFAULT clock_timestamp() -- of this decision's row
);
CREATE INDEX access_logs_time ON access_logs (timestamp);
CREATE INDEX access_logs_person ON access_logs (person_name, timestamp);
CREATE INDEX access_logs_global ON access_logs (global_id, timestamp);
CREATE INDEX access_logs_track ON access_logs (track_uuid);

CREATE TABLE visitor_logs (
    visitor_log_id   uuid PRIMARY KEY,
    camera_name      text NOT NULL,
    persons_name     text NOT NULL,
    confidence_score real NOT NULL CHECK (confidence_score BETWEEN 0 AND 1),
    visited_at       timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    motion_event_id  uuid NOT NULL REFERENCES motion_events ON DELETE CASCADE,
    employee_id      uuid REFERENCES employees ON DELETE SET NULL,
    global_id        bigint NOT NULL,
    UNIQUE (motion_event_id, global_id)
);
CREATE INDEX visitor_logs_time ON visitor_logs (visited_at);

-- Who each track was, as the visitor log heard it: a visit is the maximum over its tracks,
-- and a name that is taken back takes its visit along.
CREATE TABLE visit_evidence (
    sighting_id      uuid PRIMARY KEY,
    motion_event_id  uuid NOT NULL,
    visitor_log_id   uuid NOT NULL,
    global_id        bigint NOT NULL, -- 0: taken back
    employee_id      uuid,
    persons_name     text NOT NULL,
    confidence_score real NOT NULL CHECK (confidence_score BETWEEN 0 AND 1),
    decided_at       timestamptz NOT NULL,
    decision         smallint NOT NULL
);
CREATE INDEX visit_evidence_event ON visit_evidence (motion_event_id);

-- Best shots that stand in no object yet: their person is not decided, or has one of the
-- last 30 s already.
CREATE TABLE pending_snapshots (
    sighting_id  uuid PRIMARY KEY,
    captured_at  timestamptz NOT NULL,
    quality      real NOT NULL,
    jpeg         bytea NOT NULL,
    arrived_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX pending_snapshots_arrival ON pending_snapshots (arrived_at);

-- Who each track was, as the snapshot sink heard it.
CREATE TABLE snapshot_owners (
    sighting_id  uuid PRIMARY KEY,
    track_uuid   uuid NOT NULL,
    epoch        integer NOT NULL,
    camera_id    text NOT NULL,
    global_id    bigint NOT NULL,     -- 0: taken back
    persons_name text,                -- null for an unknown person
    decided_at   timestamptz NOT NULL,
    decision     smallint NOT NULL
);

CREATE TABLE snapshots (
    sighting_id  uuid PRIMARY KEY,
    track_uuid   uuid NOT NULL,
    epoch        integer NOT NULL,
    camera_id    text NOT NULL,
    global_id    bigint NOT NULL,
    decided_at   timestamptz NOT NULL, -- what the object's name tells
    captured_at  timestamptz NOT NULL,
    quality      real NOT NULL,
    path         text NOT NULL,        -- key in the object store
    -- A snapshot that was not written because this person has one that is under 30 s away
    -- points to that one.
    is_own       boolean NOT NULL
);
CREATE INDEX snapshots_person ON snapshots (global_id, decided_at);
CREATE INDEX snapshots_path ON snapshots (path);

-- Objects that nothing points to any more: deleted once the transaction that says so has
-- committed.
CREATE TABLE stale_objects (
    key          text PRIMARY KEY,
    stale_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE detected_persons (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    global_id          bigint NOT NULL UNIQUE,
    person_id          uuid REFERENCES employees ON DELETE SET NULL,
    assigned_name      text,
    face_embedding     vector,
    embedding_pack     text,
    face_quality       real,
    avg_height_pixels  real,
    avg_width_pixels   real,
    avg_height_meters  real,
    first_seen         timestamptz NOT NULL,
    last_seen          timestamptz NOT NULL,
    total_appearances  integer NOT NULL DEFAULT 0,
    cameras_visited    jsonb NOT NULL DEFAULT '[]',
    is_active          boolean NOT NULL DEFAULT true,
    current_room_id    text,
    current_positions  jsonb NOT NULL DEFAULT '{}',
    total_detections   bigint NOT NULL DEFAULT 0,
    quality_scores     jsonb NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX detected_persons_active ON detected_persons (last_seen) WHERE is_active;

-- What the tracks of a camera add up to; detected_persons is the sum over a person's tracks.
CREATE TABLE person_tracks (
    track_uuid   uuid PRIMARY KEY,
    camera_id    text NOT NULL,
    first_seen   timestamptz NOT NULL,
    last_seen    timestamptz NOT NULL,
    detections   bigint NOT NULL DEFAULT 0,
    sum_height   double precision NOT NULL DEFAULT 0, -- pixels
    sum_width    double precision NOT NULL DEFAULT 0,
    last_box     real[] NOT NULL,
    -- Who it was, by the last decision.
    global_id    bigint,
    person_id    uuid,
    name         text,
    confidence   real,
    embedding    vector,
    pack         text,
    face_quality real,
    epoch        integer,
    decided_at   timestamptz,
    decision     smallint
);
CREATE INDEX person_tracks_person ON person_tracks (global_id) WHERE global_id IS NOT NULL;
CREATE INDEX person_tracks_nobody ON person_tracks (last_seen) WHERE global_id IS NULL;

-- People whose tracks have changed since their row in detected_persons was computed.
CREATE TABLE stale_persons (
    global_id    bigint PRIMARY KEY
);

-- How far each sink has come: written in the transaction of its rows.
CREATE TABLE sink_offsets (
    sink         text NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    next_offset  bigint NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, topic, partition)
);
"""

_TABLES = (
    "sink_offsets stale_persons person_tracks detected_persons stale_objects snapshots "
    "snapshot_owners pending_snapshots visit_evidence visitor_logs access_logs "
    "motion_events outbox face_templates employees cameras rooms"
)


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(f"DROP TABLE {', '.join(_TABLES.split())}")

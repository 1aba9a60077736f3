"""Runs over the frames, and what became of dead letters."""

from alembic import op

revision = "0005"
down_revision = "0004"

_UP = """
-- A replay. Its rows are in a schema of its own, run_<name>, in tables like the live ones.
CREATE TABLE runs (
    name       text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_]{0,39}$' AND name <> 'live'),
    from_at    timestamptz NOT NULL,
    to_at      timestamptz NOT NULL CHECK (to_at > from_at),
    cameras    text[] NOT NULL,
    models     text,               -- the folder, where it is not the installation's
    pack       text,
    stage      text NOT NULL DEFAULT 'new'
        CHECK (stage IN ('new', 'vision', 'matching', 'sinks', 'done', 'failed')),
    detail     text,
    ends       jsonb NOT NULL DEFAULT '{}', -- up to where it reads the live topics
    made_by    text,
    made_at    timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz
);

-- Which run is the truth of its window, and which was. What a promotion has replaced is in the
-- schema replaced_<promotion_id>.
CREATE TABLE promotions (
    promotion_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run           text NOT NULL, -- which may have been deleted since it was taken back
    promoted_at   timestamptz NOT NULL DEFAULT now(),
    promoted_by   text,
    taken_back_at timestamptz,
    taken_back_by text
);
CREATE UNIQUE INDEX promotions_in_force ON promotions (run) WHERE taken_back_at IS NULL;

-- The motion events whose rows are a run's: what the live pass still says of them goes to the
-- rows that were replaced. No event belongs to two promotions.
CREATE TABLE promoted_events (
    event_id     uuid PRIMARY KEY,
    camera_id    text NOT NULL,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL,
    promotion_id bigint NOT NULL REFERENCES promotions
);

-- Which rows are of an event, and what the keys of a run's pictures begin with.
ALTER TABLE person_tracks ADD COLUMN motion_event_id uuid;
UPDATE person_tracks SET motion_event_id = log.motion_event_id
FROM access_logs log WHERE log.track_uuid = person_tracks.track_uuid;
UPDATE person_tracks SET motion_event_id = event.event_id
FROM motion_events event
WHERE person_tracks.motion_event_id IS NULL AND event.camera_id = person_tracks.camera_id
    AND person_tracks.first_seen BETWEEN event.started_at
        AND coalesce(event.ended_at, event.last_frame_at);
ALTER TABLE snapshot_owners
    ADD COLUMN motion_event_id uuid,
    ADD COLUMN prefix text NOT NULL DEFAULT '';
UPDATE snapshot_owners SET motion_event_id = track.motion_event_id
FROM person_tracks track WHERE track.track_uuid = snapshot_owners.track_uuid;
CREATE INDEX person_tracks_event ON person_tracks (motion_event_id);
CREATE INDEX snapshot_owners_event ON snapshot_owners (motion_event_id);
CREATE INDEX access_logs_event ON access_logs (motion_event_id);

-- Since when a row is here, where nothing says so: an old film's rows are not old.
ALTER TABLE person_tracks ADD COLUMN kept_since timestamptz NOT NULL DEFAULT now();
ALTER TABLE snapshot_owners ADD COLUMN kept_since timestamptz NOT NULL DEFAULT now();
ALTER TABLE snapshots ADD COLUMN kept_since timestamptz NOT NULL DEFAULT now();

CREATE TABLE dead_letter_fates (
    letter_partition integer NOT NULL,
    letter_offset    bigint NOT NULL,
    fate             text NOT NULL CHECK (fate IN ('replayed', 'dropped')),
    made_by          text,
    made_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (letter_partition, letter_offset)
);

-- What a sink has sent to the dead letters: one that is replayed is taken once, however often it
-- comes.
CREATE TABLE given_up (
    sink          text NOT NULL,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    given_up_at   timestamptz NOT NULL DEFAULT now(),
    taken_at      timestamptz,
    PRIMARY KEY (sink, topic, partition, record_offset)
);
"""

_DOWN = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT 'run_' || runs.name FROM runs
        UNION ALL SELECT 'replaced_' || promotion_id FROM promotions
    LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', name);
    END LOOP;
END $$;
DROP INDEX access_logs_event;
ALTER TABLE snapshots DROP COLUMN kept_since;
ALTER TABLE snapshot_owners DROP COLUMN prefix, DROP COLUMN motion_event_id, DROP COLUMN kept_since;
ALTER TABLE person_tracks DROP COLUMN motion_event_id, DROP COLUMN kept_since;
DROP TABLE given_up, dead_letter_fates, promoted_events, promotions, runs;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)

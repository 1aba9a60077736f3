"""Identity: why a decision was made, what was corrected, calibrations, walking times."""

import sqlalchemy as sa
from alembic import op

from schemas.ids import global_id

revision = "0002"
down_revision = "0001"

_UP = """
ALTER TABLE employees ALTER COLUMN global_id SET NOT NULL, ADD UNIQUE (global_id);

-- A look may come from a photo, or from a sighting that somebody said was this person.
ALTER TABLE face_templates ADD COLUMN source text NOT NULL DEFAULT 'photo'
    CHECK (source IN ('photo', 'sighting'));

-- Why a row says what it says.
ALTER TABLE access_logs
    ADD COLUMN shots            integer,
    ADD COLUMN runner_up        text,
    ADD COLUMN runner_up_score  real,
    ADD COLUMN candidate        text,     -- employees.id of who came nearest, named or not
    ADD COLUMN candidate_score  real,
    ADD COLUMN wanted_rate      double precision,
    ADD COLUMN calibration      text,
    ADD COLUMN gallery_people   integer,
    ADD COLUMN gallery_revision bigint,
    ADD COLUMN reason           text;

ALTER TABLE person_tracks
    ADD COLUMN site_id text,
    ADD COLUMN score   real;

-- What people have said, in order; the tables below are what follows from it.
CREATE TABLE corrections (
    correction_id uuid PRIMARY KEY,
    kind          text NOT NULL
        CHECK (kind IN ('name', 'merge', 'split', 'not-this-person', 'forget')),
    details       jsonb NOT NULL,
    made_by       text,
    made_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX corrections_forget ON corrections (((details ->> 'global_id')::bigint))
    WHERE kind = 'forget';

-- Who a track is, whatever the matcher says.
CREATE TABLE track_corrections (
    track_uuid    uuid PRIMARY KEY,
    global_id     bigint NOT NULL,
    correction_id uuid NOT NULL REFERENCES corrections
);

-- One person under two ids: always to the last, never through another alias.
CREATE TABLE person_aliases (
    global_id      bigint PRIMARY KEY,
    into_global_id bigint NOT NULL CHECK (into_global_id <> global_id),
    correction_id  uuid NOT NULL REFERENCES corrections
);
CREATE INDEX person_aliases_into ON person_aliases (into_global_id);

-- What people whom nobody has enrolled are called.
CREATE TABLE person_names (
    global_id     bigint PRIMARY KEY,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    correction_id uuid NOT NULL REFERENCES corrections
);

-- Different people, however alike.
CREATE TABLE not_same (
    global_id       bigint NOT NULL,
    other_global_id bigint NOT NULL CHECK (global_id < other_global_id),
    correction_id   uuid NOT NULL REFERENCES corrections,
    PRIMARY KEY (global_id, other_global_id)
);
CREATE INDEX not_same_other ON not_same (other_global_id);

-- What is written of a person, to be corrected.
CREATE INDEX visit_evidence_person ON visit_evidence (global_id);
CREATE INDEX visitor_logs_person ON visitor_logs (global_id, visited_at);
CREATE INDEX snapshot_owners_person ON snapshot_owners (global_id);
CREATE INDEX snapshot_owners_track ON snapshot_owners (track_uuid);

-- Snapshots whose owner was corrected: the snapshot sink gives their objects new names.
CREATE TABLE stale_snapshots (
    sighting_id uuid PRIMARY KEY
);

CREATE TABLE calibrations (
    calibration_id text PRIMARY KEY,
    pack           text NOT NULL,
    calibration    jsonb NOT NULL,
    in_force       boolean NOT NULL DEFAULT false,
    made_at        timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX calibrations_in_force ON calibrations (pack) WHERE in_force;

CREATE TABLE walking_times (
    camera_a text NOT NULL,
    camera_b text NOT NULL CHECK (camera_a < camera_b),
    seconds  real NOT NULL CHECK (seconds > 0),
    PRIMARY KEY (camera_a, camera_b)
);
"""

_DOWN = """
DROP INDEX visit_evidence_person, visitor_logs_person, snapshot_owners_person,
    snapshot_owners_track;
DROP TABLE walking_times, calibrations, stale_snapshots, not_same, person_names, person_aliases,
    track_corrections, corrections;
ALTER TABLE person_tracks DROP COLUMN site_id, DROP COLUMN score;
ALTER TABLE access_logs
    DROP COLUMN shots, DROP COLUMN runner_up, DROP COLUMN runner_up_score, DROP COLUMN candidate,
    DROP COLUMN candidate_score, DROP COLUMN wanted_rate, DROP COLUMN calibration,
    DROP COLUMN gallery_people, DROP COLUMN gallery_revision, DROP COLUMN reason;
ALTER TABLE face_templates DROP COLUMN source;
ALTER TABLE employees DROP COLUMN global_id;
"""


def upgrade() -> None:
    op.execute("ALTER TABLE employees ADD COLUMN global_id bigint")
    _number_employees()
    op.execute(_UP)


def _number_employees() -> None:
    """SQL cannot compute it: the id is cut from a UUIDv5."""
    db = op.get_bind()
    known = db.execute(sa.text("SELECT id FROM employees")).scalars().all()
    for person in known:
        db.execute(
            sa.text("UPDATE employees SET global_id = :global_id WHERE id = :id"),
            {"global_id": global_id(str(person)), "id": person},
        )


def downgrade() -> None:
    op.execute(_DOWN)

"""Cameras have a name beside their id, and people of one name are told apart by a code."""

from alembic import op

revision = "0013"
down_revision = "0012"

# The id of a camera is in the keys of records, in ids of tracks and in rows of all schemas, and
# stays. Who writes a camera without a name gives it that of its id, as before.
_CAMERAS = """
ALTER TABLE cameras ADD COLUMN name text UNIQUE
    CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$');
UPDATE cameras SET name = camera_id;
ALTER TABLE cameras ALTER COLUMN name SET NOT NULL;

CREATE FUNCTION set_camera_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.name := coalesce(NEW.name, NEW.camera_id);
    RETURN NEW;
END $$;
CREATE TRIGGER camera_name_set BEFORE INSERT ON cameras
    FOR EACH ROW EXECUTE FUNCTION set_camera_name();

-- The name of an id; rows may have ids of cameras that nobody has added.
CREATE FUNCTION camera_name(id text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce((SELECT name FROM cameras WHERE camera_id = id), id);

-- The id of a name. What was the name of a camera that is renamed finds nothing.
CREATE FUNCTION camera_key(called text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce((SELECT camera_id FROM cameras WHERE name = called),
    CASE WHEN NOT EXISTS (SELECT FROM cameras WHERE camera_id = called) THEN called END);

-- A list of ids, and an object by id, with names instead.
CREATE FUNCTION camera_names(ids jsonb) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT coalesce(jsonb_agg(camera_name(id) ORDER BY rank), '[]')
    FROM jsonb_array_elements_text(ids) WITH ORDINALITY AS entry (id, rank));
CREATE FUNCTION by_camera_name(by_id jsonb) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT coalesce(jsonb_object_agg(camera_name(key), value), '{}') FROM jsonb_each(by_id));
"""

_CAMERAS_DOWN = """
DROP FUNCTION by_camera_name(jsonb), camera_names(jsonb), camera_key(text), camera_name(text);
DROP TRIGGER camera_name_set ON cameras;
DROP FUNCTION set_camera_name();
ALTER TABLE cameras DROP COLUMN name;
"""

# What a row says that fits two enrolled people alike, with their names of now. Rows have ids alone:
# nothing is left of a name after an erasure. Of people of one name it says the codes.
_ONE_OF = """
CREATE FUNCTION one_of(candidate text, runner_up text, reason text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    SELECT concat('one of ', first.name, ' (' || CASE WHEN alike THEN first.code END || ')',
        CASE WHEN more THEN ', ' ELSE ' or ' END,
        second.name, ' (' || CASE WHEN alike THEN second.code END || ')',
        CASE WHEN more THEN ' or others' END)
    FROM (SELECT id, name, employee_id_code FROM employees) AS first (id, name, code)
    JOIN (SELECT id, name, employee_id_code FROM employees) AS second (id, name, code)
        ON second.id <> first.id
    CROSS JOIN LATERAL (SELECT first.name = second.name,
        reason LIKE '%several people come near%') AS tie (alike, more)
    WHERE first.id = CASE WHEN candidate ~ '^[0-9a-f-]{36}$' THEN candidate::uuid END
        AND second.id = CASE WHEN runner_up ~ '^[0-9a-f-]{36}$' THEN runner_up::uuid END
        AND (reason LIKE '%two people come near%' OR reason LIKE '%several people come near%')
);
"""

# A name alone is enough for one person; whoever else has it has a code.
_EMPLOYEES = """
ALTER TABLE employees DROP CONSTRAINT employees_name_key;
CREATE INDEX employees_name ON employees (name);
CREATE UNIQUE INDEX employees_name_key ON employees (name) WHERE employee_id_code IS NULL;
"""

# Names that two people have keep the older schema from coming back: one of them has to go.
_EMPLOYEES_DOWN = """
DROP INDEX employees_name, employees_name_key;
ALTER TABLE employees ADD UNIQUE (name);
"""


def upgrade() -> None:
    op.execute(_CAMERAS)
    op.execute(_EMPLOYEES)
    op.execute(_ONE_OF)


def downgrade() -> None:
    op.execute("DROP FUNCTION one_of(text, text, text)")
    op.execute(_EMPLOYEES_DOWN)
    op.execute(_CAMERAS_DOWN)

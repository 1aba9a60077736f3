"""Embeddings that are encrypted at rest."""

from alembic import op

revision = "0008"
down_revision = "0007"

# A face is in one of two columns: as a vector that an index can search, or sealed. Of a run's
# tables, and of replaced ones, there is a copy in each schema.
_UP = """
ALTER TABLE face_templates ALTER COLUMN embedding DROP NOT NULL;

CREATE FUNCTION pg_temp.with_sealed(name text, sealed text, face text, more text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE place regclass;
BEGIN
    FOR place IN SELECT format('%I.%I', table_schema, table_name)
        FROM information_schema.tables WHERE table_name = name AND table_type = 'BASE TABLE'
    LOOP
        EXECUTE format('ALTER TABLE %s ADD COLUMN %I bytea %s,'
            ' ADD CONSTRAINT one_face CHECK (num_nonnulls(%I, %I) <= 1)',
            place, sealed, more, face, sealed);
        -- Nothing is gained by compressing it, and its head can be read alone.
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE EXTERNAL', place, sealed);
    END LOOP;
END $$;
SELECT pg_temp.with_sealed('face_templates', 'embedding_sealed', 'embedding',
    ', ADD CONSTRAINT a_face CHECK (num_nonnulls(embedding, embedding_sealed) > 0)');
SELECT pg_temp.with_sealed('person_tracks', 'embedding_sealed', 'embedding', '');
-- The face of a person is that of a track, and sealed as such.
SELECT pg_temp.with_sealed('detected_persons', 'face_embedding_sealed', 'face_embedding',
    ', ADD COLUMN face_track uuid');

CREATE FUNCTION face_dimension(face vector, sealed bytea) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(vector_dims(face), (octet_length(sealed) - 40) / 4);

-- What is stored is sealed with these keys; 'plain' until all that was not sealed is.
CREATE TABLE sealing_keys (
    key_id    text PRIMARY KEY,
    used_from timestamptz NOT NULL DEFAULT now()
);
"""

# Without the sealed faces nobody would be known.
_DOWN = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM sealing_keys WHERE key_id <> 'plain') THEN
        RAISE EXCEPTION 'faces are sealed: without this migration they would be lost';
    END IF;
END $$;
DROP TABLE sealing_keys;
DROP FUNCTION face_dimension(vector, bytea);

CREATE FUNCTION pg_temp.without_sealed(name text, gone text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE place regclass;
BEGIN
    FOR place IN SELECT format('%I.%I', table_schema, table_name)
        FROM information_schema.tables WHERE table_name = name AND table_type = 'BASE TABLE'
    LOOP
        EXECUTE format('ALTER TABLE %s %s', place, gone);
    END LOOP;
END $$;
SELECT pg_temp.without_sealed('face_templates', 'DROP COLUMN embedding_sealed');
SELECT pg_temp.without_sealed('person_tracks', 'DROP COLUMN embedding_sealed');
SELECT pg_temp.without_sealed('detected_persons',
    'DROP COLUMN face_embedding_sealed, DROP COLUMN face_track');
ALTER TABLE face_templates ALTER COLUMN embedding SET NOT NULL;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)

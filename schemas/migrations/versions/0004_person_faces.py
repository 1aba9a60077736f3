"""Faces of persons in a table of their own, as those of tracks."""

from alembic import op

revision = "0004"
down_revision = "0003"

# A row of detected_persons is written anew every few seconds while somebody is here: see 0003.
_UP = """
CREATE TABLE person_faces (
    global_id bigint PRIMARY KEY REFERENCES detected_persons (global_id)
        ON DELETE CASCADE ON UPDATE CASCADE,
    face_pack text NOT NULL,
    face      vector NOT NULL
);
INSERT INTO person_faces
SELECT global_id, embedding_pack, face_embedding FROM detected_persons
WHERE face_embedding IS NOT NULL AND embedding_pack IS NOT NULL;

CREATE FUNCTION keep_person_face() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.face_embedding IS NULL OR NEW.embedding_pack IS NULL THEN
        DELETE FROM person_faces WHERE global_id = NEW.global_id;
    ELSE
        INSERT INTO person_faces VALUES (NEW.global_id, NEW.embedding_pack, NEW.face_embedding)
        ON CONFLICT (global_id) DO UPDATE SET
            (face_pack, face) = (excluded.face_pack, excluded.face);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER person_face_seen AFTER INSERT ON detected_persons
    FOR EACH ROW WHEN (NEW.face_embedding IS NOT NULL) EXECUTE FUNCTION keep_person_face();
CREATE TRIGGER person_face_changed AFTER UPDATE OF face_embedding, embedding_pack
    ON detected_persons FOR EACH ROW
    WHEN ((OLD.face_embedding, OLD.embedding_pack)
        IS DISTINCT FROM (NEW.face_embedding, NEW.embedding_pack))
    EXECUTE FUNCTION keep_person_face();
"""

_DOWN = """
DROP TRIGGER person_face_changed ON detected_persons;
DROP TRIGGER person_face_seen ON detected_persons;
DROP FUNCTION keep_person_face();
DROP TABLE person_faces;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)

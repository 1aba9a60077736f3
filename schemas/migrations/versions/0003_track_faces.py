"""Faces of tracks in a table of their own, for the index that searches them."""

from alembic import op

revision = "0003"
down_revision = "0002"

# A row of person_tracks changes with every frame and with every correction, and each time its
# vector would be put into the graph of pgvector's index once more, at 1 to 3 ms. Nobody writes
# here but the triggers. The columns have names of their own, so that a query can join the two.
_UP = """
CREATE TABLE track_faces (
    track_uuid uuid PRIMARY KEY REFERENCES person_tracks ON DELETE CASCADE,
    face_pack  text NOT NULL,
    face       vector NOT NULL
);
INSERT INTO track_faces
SELECT track_uuid, pack, embedding FROM person_tracks
WHERE embedding IS NOT NULL AND pack IS NOT NULL;

CREATE FUNCTION keep_track_face() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.embedding IS NULL OR NEW.pack IS NULL THEN
        DELETE FROM track_faces WHERE track_uuid = NEW.track_uuid;
    ELSE
        INSERT INTO track_faces VALUES (NEW.track_uuid, NEW.pack, NEW.embedding)
        ON CONFLICT (track_uuid) DO UPDATE SET
            (face_pack, face) = (excluded.face_pack, excluded.face);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER track_face_seen AFTER INSERT ON person_tracks
    FOR EACH ROW WHEN (NEW.embedding IS NOT NULL) EXECUTE FUNCTION keep_track_face();
CREATE TRIGGER track_face_changed AFTER UPDATE OF embedding, pack ON person_tracks
    FOR EACH ROW WHEN ((OLD.embedding, OLD.pack) IS DISTINCT FROM (NEW.embedding, NEW.pack))
    EXECUTE FUNCTION keep_track_face();
"""

_DOWN = """
DROP TRIGGER track_face_changed ON person_tracks;
DROP TRIGGER track_face_seen ON person_tracks;
DROP FUNCTION keep_track_face();
DROP TABLE track_faces;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)

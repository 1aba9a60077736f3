"""The schemas that hold the rows of runs, in tables like the live ones."""

from psycopg import sql

from sightline.storage.db import Cursor

ROWS = (
    "access_logs",
    "visitor_logs",
    "visit_evidence",
    "person_tracks",
    "snapshot_owners",
    "snapshots",
    "pending_snapshots",
)
"""Tables with rows of one motion event each, which a promotion swaps."""


def delete_embeddings(cursor: Cursor, person: int) -> None:
    """Delete a person's embeddings in every schema except the live one."""
    cursor.execute(
        "SELECT table_schema FROM information_schema.tables"
        " WHERE table_name = 'person_tracks' AND table_schema <> 'public'"
    )
    for (schema,) in cursor.fetchall():
        tracks = sql.Identifier(schema, "person_tracks")
        forget = sql.SQL(
            "UPDATE {} SET embedding = NULL, embedding_sealed = NULL WHERE global_id = %s"
        )
        cursor.execute(forget.format(tracks), (person,))

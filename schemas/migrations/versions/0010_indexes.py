"""Indexes for the lists of the API and for removals."""

from alembic import op

revision = "0010"
down_revision = "0009"

# Name, table, columns and predicate. Lists are read in pages ordered by time, then by id: an index
# in that order gives a page without a sort. A foreign key needs an index where rows of the table it
# points to are removed. Unknown people have no employee, so those rows stay out of its indexes.
_INDEXES = (
    ("access_logs_camera", "access_logs", "camera_id, timestamp, id", ""),
    ("access_logs_site", "access_logs", "site_id, timestamp, id", ""),
    ("access_logs_employee", "access_logs", "employee_id, timestamp", "employee_id IS NOT NULL"),
    ("visitor_logs_name", "visitor_logs", "persons_name, visited_at, visitor_log_id", ""),
    ("visitor_logs_camera", "visitor_logs", "camera_name, visited_at, visitor_log_id", ""),
    ("visitor_logs_employee", "visitor_logs", "employee_id", "employee_id IS NOT NULL"),
    ("detected_persons_seen", "detected_persons", "last_seen, global_id", ""),
    ("detected_persons_employee", "detected_persons", "person_id", "person_id IS NOT NULL"),
    ("cameras_room", "cameras", "room_id", ""),
    ("track_corrections_said", "track_corrections", "correction_id", ""),
    ("person_aliases_said", "person_aliases", "correction_id", ""),
    ("person_names_said", "person_names", "correction_id", ""),
    ("not_same_said", "not_same", "correction_id", ""),
    ("promoted_events_promotion", "promoted_events", "promotion_id", ""),
    ("erased_persons_erasure", "erased_persons", "erasure_id", ""),
    ("erased_tracks_erasure", "erased_tracks", "erasure_id", ""),
)


def upgrade() -> None:
    # Services of the version before go on writing meanwhile. Of the schemas of runs, which have no
    # foreign keys and no lists, only those made later have these indexes.
    with op.get_context().autocommit_block():
        for name, table, columns, predicate in _INDEXES:
            # An upgrade that was interrupted leaves an index that is not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            where = f" WHERE {predicate}" if predicate else ""
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {table} ({columns}){where}")


def downgrade() -> None:
    op.execute(f"DROP INDEX {', '.join(name for name, *_ in _INDEXES)}")

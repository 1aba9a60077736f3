"""What the services stand on, shown as metrics: topics, disks and certificates."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509

from sightline.runtime import metrics
from sightline.runtime.connection_urls import objects_folder
from sightline.runtime.keyring import Keyring
from sightline.runtime.settings import Settings
from sightline.runtime.settings.provenance import leaves, value_of
from sightline.streaming.topic_inspector import Kept

log = logging.getLogger(__name__)

_CERTIFICATES = ("_ca", "_cert")
"""What the names of settings that are files with certificates end with."""


def show_topics(kept: Mapping[str, Kept]) -> None:
    """Show what topics keep."""
    metrics.show(metrics.TOPIC_RECORDS, {(topic,): one.records for topic, one in kept.items()})
    metrics.show(metrics.TOPIC_BYTES, {(topic,): one.size for topic, one in kept.items()})


def show_disks(settings: Settings) -> None:
    """Show how full the disks of the home, the objects and the database are; a bucket has none."""
    places = {"home": settings.home}
    if settings.s3_bucket is None:
        places["objects"] = objects_folder(settings)
    database = settings.home / "postgres"
    if database.is_symlink():  # of root: its data lie outside of the home, on another disk perhaps
        places["database"] = database
    for place, folder in places.items():
        if folder.is_dir():
            disk = shutil.disk_usage(folder)
            metrics.DISK_FREE_BYTES.labels(place).set(disk.free)
            metrics.DISK_SIZE_BYTES.labels(place).set(disk.total)


def show_certificates(settings: Settings) -> None:
    """Show when certificates end: those of the settings, and those of a secure home."""
    found: dict[tuple[str, ...], float] = {}
    for name, path in _certificates(settings):
        try:
            found[name,] = ends_at(path)
        except (OSError, ValueError) as error:
            log.warning("certificate %s: %s", name, error)
    metrics.show(metrics.CERTIFICATE_EXPIRES_SECONDS, found)


def ends_at(path: Path) -> float:
    """Unix time at which the first certificate of a PEM file ends to be valid.

    Raises OSError or ValueError where there is none.
    """
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    return min(one.not_valid_after_utc.timestamp() for one in chain)


def _certificates(settings: Settings) -> Iterator[tuple[str, Path]]:
    for name, _field in leaves(Settings):
        value = value_of(settings, name)
        if isinstance(value, Path) and name[-1].endswith(_CERTIFICATES):
            yield ".".join(name), value
    authority = Keyring(settings.home).authority
    if authority.exists():
        yield "home", authority
        for path in authority.parent.glob("*/tls.crt"):
            yield f"home.{path.parent.name}", path

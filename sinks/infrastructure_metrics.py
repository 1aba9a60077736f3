"""Metrics of the infrastructure: topics, disks and certificates."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509

from sightline.runtime import metrics
from sightline.runtime.connection_urls import objects_folder
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.settings import Settings
from sightline.runtime.settings.provenance import setting_fields, value_of
from sightline.streaming.topic_inspector import TopicContents

log = logging.getLogger(__name__)

_CERTIFICATE_SUFFIXES = ("_ca", "_cert")
"""Suffixes of the names of settings that are files with certificates."""


def show_topics(topics: Mapping[str, TopicContents]) -> None:
    """Show the records and bytes of topics."""
    metrics.set_series(
        metrics.TOPIC_RECORDS, {(name,): topic.records for name, topic in topics.items()}
    )
    metrics.set_series(metrics.TOPIC_BYTES, {(name,): topic.size for name, topic in topics.items()})


def show_disks(settings: Settings) -> None:
    """Show the free space of the disks of the home, the objects and the database."""
    folders = {"home": settings.home}
    if settings.s3_bucket is None:  # a bucket has no disk
        folders["objects"] = objects_folder(settings)
    database = settings.home / "postgres"
    if database.is_symlink():  # root's data lie outside of the home, perhaps on another disk
        folders["database"] = database
    for place, folder in folders.items():
        if folder.is_dir():
            disk = shutil.disk_usage(folder)
            metrics.DISK_FREE_BYTES.labels(place).set(disk.free)
            metrics.DISK_SIZE_BYTES.labels(place).set(disk.total)


def show_certificates(settings: Settings) -> None:
    """Show the expiry times of certificates of the settings and of a secure home."""
    expiries: dict[tuple[str, ...], float] = {}
    for name, path in _certificates(settings):
        try:
            expiries[name,] = expires_at(path)
        except (OSError, ValueError) as error:
            log.warning("certificate %s: %s", name, error)
    metrics.set_series(metrics.CERTIFICATE_EXPIRES_SECONDS, expiries)


def expires_at(path: Path) -> float:
    """Return the earliest expiry of a PEM file's certificates, in Unix time.

    Raises OSError or ValueError when the file has none.
    """
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    return min(certificate.not_valid_after_utc.timestamp() for certificate in chain)


def _certificates(settings: Settings) -> Iterator[tuple[str, Path]]:
    for name, _field in setting_fields(Settings):
        value = value_of(settings, name)
        if isinstance(value, Path) and name[-1].endswith(_CERTIFICATE_SUFFIXES):
            yield ".".join(name), value
    authority = CredentialFiles(settings.home).authority
    if authority.exists():
        yield "home", authority
        for path in authority.parent.glob("*/tls.crt"):
            yield f"home.{path.parent.name}", path

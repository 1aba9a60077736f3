"""Retention shows what everything stands on: disks, and certificates before they end."""

import shutil
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import REGISTRY

from api.settings import ApiSettings
from ops.rights.certificate_authority import Authority, utc_now
from ops.rights.keyring_setup import prepare_keyring
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.private_files import CertificateFiles
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import KafkaSettings
from sinks.infrastructure_metrics import expires_at, show_certificates, show_disks


def ends(name: str) -> float | None:
    return REGISTRY.get_sample_value("sightline_certificate_expires_seconds", {"name": name})


def test_certificates_of_the_settings_and_of_a_secure_home_are_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare_keyring(CredentialFiles(tmp_path), 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    pair = CertificateFiles(elsewhere / "api.pem", elsewhere / "api.key")
    Authority(elsewhere, utc_now()).ensure("api", pair)
    broken = elsewhere / "broken.pem"
    broken.write_text("no certificate")
    settings = Settings(
        home=tmp_path,
        api=ApiSettings(tls_cert=pair.certificate, tls_key=pair.key),
        kafka=KafkaSettings(ssl_ca=elsewhere / "ca.crt", ssl_cert=broken),
    )
    show_certificates(settings)
    api = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).not_valid_after_utc
    assert ends("api.tls_cert") == api.timestamp()
    assert ends("kafka.ssl_ca") == expires_at(elsewhere / "ca.crt")
    assert ends("kafka.ssl_cert") is None
    assert "kafka.ssl_cert" in caplog.text
    in_home = [ends("home"), ends("home.kafka-1"), ends("home.postgresql"), ends("home.vision")]
    assert all(one is not None and one > utc_now().timestamp() for one in in_home)

    show_certificates(Settings(home=elsewhere))
    assert ends("api.tls_cert") is None
    assert ends("home") is None


def test_of_two_certificates_in_a_file_the_first_end_counts(tmp_path: Path) -> None:
    pair = CertificateFiles(tmp_path / "one.pem", tmp_path / "one.key")
    Authority(tmp_path, utc_now()).ensure("one", pair)
    chain = tmp_path / "chain.pem"
    chain.write_bytes((tmp_path / "ca.crt").read_bytes() + pair.certificate.read_bytes())
    assert expires_at(chain) == expires_at(pair.certificate) < expires_at(tmp_path / "ca.crt")


def test_disks_of_the_home_and_of_what_lies_elsewhere_are_shown(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "postgres").symlink_to("/")
    show_disks(Settings(home=tmp_path))
    places = {"home": tmp_path, "objects": tmp_path, "database": Path("/")}
    for place, path in places.items():
        free = REGISTRY.get_sample_value("sightline_disk_free_bytes", {"place": place})
        size = REGISTRY.get_sample_value("sightline_disk_size_bytes", {"place": place})
        assert free is not None
        assert size == shutil.disk_usage(path).total
        assert 0 < free < size

"""The table of rights names what there is, and the certificates of a home are what they say."""

import stat
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from pydantic import SecretStr

from ops.rights.certificate_authority import RENEW_DAYS, Authority, utc_now
from ops.rights.keyring_setup import prepare_keyring
from ops.rights.registry import RIGHTS
from schemas.migrations.versions import __path__ as versions
from schemas.naming import principal
from schemas.topics import all_topics
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.private_files import CertificateFiles
from sightline.runtime.rights import ANY
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import KafkaSettings
from sightline.streaming.client_config import aiokafka_config, client_config


def test_every_service_has_its_rights_and_nobody_else() -> None:
    assert set(RIGHTS) == {point.name for point in entry_points(group="sightline.services")}


def test_rights_are_for_topics_of_the_registry() -> None:
    there = {topic.name for topic in all_topics()}
    for service, rights in RIGHTS.items():
        for name in (*rights.read_topics, *rights.written_topics, *rights.described_topics):
            begins = name.removesuffix(ANY)
            known = {one for one in there if one.startswith(begins) and begins} or name == ANY
            assert name in there or (name.endswith(ANY) and known), (service, name)


def test_the_migration_makes_a_role_for_whoever_has_tables() -> None:
    text = (Path(versions[0]) / "0009_roles.py").read_text()
    made = text.partition("ARRAY[")[2].partition("]")[0]
    named = {name.strip().strip("'") for name in made.split(",")}
    assert named == {service for service, rights in RIGHTS.items() if rights.tables}


def certificate(pair: CertificateFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def believes(authority: Path, pair: CertificateFiles) -> bool:
    """Whether who trusts an authority lets a client with this certificate in."""
    store = Store(x509.load_pem_x509_certificates(authority.read_bytes()))
    try:
        PolicyBuilder().store(store).build_client_verifier().verify(certificate(pair), [])
    except VerificationError:
        return False
    return True


def test_a_home_believes_its_own_certificates_alone(tmp_path: Path) -> None:
    rings = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        rings.append(CredentialFiles(tmp_path / name))
        prepare_keyring(rings[-1], brokers=3)
    one, other = rings
    assert certificate(one.pair("match")).subject.rfc4514_string() == f"CN={principal('match')}"
    assert believes(one.authority, one.pair("match"))
    assert not believes(one.authority, other.pair("match"))
    assert one.pair("kafka-3").certificate.exists()


def test_what_is_there_stays_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    keyring = CredentialFiles(tmp_path)
    prepare_keyring(keyring, brokers=1)
    files = [path for path in (tmp_path / "secure").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    prepare_keyring(keyring, brokers=1)
    assert {path: path.read_bytes() for path in before} == before
    secret = [path for path in files if path.suffix != ".crt"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert stat.S_IMODE((tmp_path / "secure").stat().st_mode) == 0o700


def test_a_certificate_is_made_anew_before_it_runs_out(tmp_path: Path) -> None:
    pair = CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    today = utc_now()
    assert Authority(tmp_path, today).ensure("somebody", pair)
    ends = certificate(pair).not_valid_after_utc
    assert not Authority(tmp_path, ends - timedelta(days=RENEW_DAYS + 1)).ensure("somebody", pair)
    assert Authority(tmp_path, ends - timedelta(days=RENEW_DAYS - 1)).ensure("somebody", pair)
    assert certificate(pair).not_valid_after_utc > ends


def test_a_new_authority_signs_everything_anew(tmp_path: Path) -> None:
    keyring = CredentialFiles(tmp_path)
    prepare_keyring(keyring, brokers=1)
    keyring.authority.unlink()
    prepare_keyring(keyring, brokers=1)
    assert believes(keyring.authority, keyring.pair("match"))


def settings(tmp_path: Path, **access: object) -> Settings:
    kafka = KafkaSettings.model_validate({"security_protocol": "SASL_SSL", **access})
    return Settings(home=tmp_path, kafka_bootstrap_servers="a:1,b:2", kafka=kafka)


def test_a_given_kafka_is_spoken_to_as_the_settings_say(tmp_path: Path) -> None:
    keyring = CredentialFiles(tmp_path)
    prepare_keyring(keyring, brokers=1)
    pair = keyring.pair("match")
    (tmp_path / "password").write_text("secret\n")
    given = settings(
        tmp_path,
        sasl_username="somebody",
        sasl_password=SecretStr(f"file:{tmp_path / 'password'}"),
        ssl_ca=keyring.authority,
        ssl_cert=pair.certificate,
        ssl_key=pair.key,
    )
    config = client_config(given, "me")
    assert config["security.protocol"] == "SASL_SSL"
    assert (config["sasl.mechanism"], config["sasl.username"]) == ("SCRAM-SHA-512", "somebody")
    assert config["sasl.password"] == "secret"
    assert config["ssl.ca.location"] == str(keyring.authority)
    kafka = aiokafka_config(given)
    assert kafka.servers == ["a:1", "b:2"]
    assert kafka.access["sasl_plain_password"] == "secret"
    assert kafka.access["ssl_context"].get_ca_certs()[0]["subject"]
    (tmp_path / "password").write_text("changed")
    assert client_config(given, "me")["sasl.password"] == "changed"


@pytest.mark.parametrize(
    ("access", "said"),
    [
        ({}, "kafka.sasl_username and kafka.sasl_password"),
        ({"sasl_username": "x", "sasl_password": "file:/nowhere"}, "/nowhere cannot be read"),
        ({"security_protocol": "SSL", "ssl_ca": "/nowhere.pem"}, "/nowhere.pem cannot be read"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path: Path, access: dict[str, str], said: str) -> None:
    given = settings(tmp_path, **access)
    for made in (lambda: client_config(given, "me"), lambda: aiokafka_config(given)):
        with pytest.raises(SightlineError, match=said):
            made()

"""The API over TLS, as a process: what an outsider gets, and a certificate that is renewed."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.auth import users
from sightline.audit.actor import command_actor
from sightline.audit.roles import Role
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests.stack.test_api_service import service
from tests.support import (
    api_key,
    bearer,
    eventually,
    run_sightline,
)

pytestmark = pytest.mark.stack


def certificate(folder: Path) -> Path:
    """A new certificate for 127.0.0.1 with its key, both in one file of this folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    new = folder / "new.pem"
    new.write_bytes(plain + made.public_bytes(pem))
    return new.replace(folder / "api.pem")


def served(url: str) -> str:
    """The certificate that the service shows."""
    host, _, port = url.removeprefix("https://").rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def test_over_tls_an_outsider_gets_health_and_nothing_else(stack: Settings, tmp_path: Path) -> None:
    one = certificate(tmp_path)
    with connect(stack) as db:
        users.add(db, "access-tls", Role.VIEWER, "a long password", command_actor())
    mine = bearer(api_key(stack, Role.VIEWER))
    with service(stack, tmp_path, SIGHTLINE_API__TLS_CERT=str(one)) as (url, _):
        assert url.startswith("https://")
        with httpx2.Client(verify=False, base_url=url) as client:
            eventually(lambda: client.get("/readyz").status_code == 200, what="the API is ready")
            assert client.get("/healthz").status_code == 200
            for path in ("/", "/metrics", "/docs", "/openapi.json", "/api/v1/sightings"):
                told = client.get(path)
                assert (told.status_code, told.headers["www-authenticate"]) == (401, "Bearer")
                assert "strict-transport-security" in told.headers
                assert "server" not in told.headers
            # Nobody is believed about where they come from.
            forged = mine | {"X-Forwarded-Proto": "http", "X-Forwarded-For": "192.0.2.1"}
            assert client.get("/api/v1/session", headers=forged).status_code == 200
            done = client.post(
                "/sign-in", json={"name": "access-tls", "password": "a long password"},
                headers=forged,
            )  # fmt: skip
            assert "Secure" in done.headers["set-cookie"]
        with pytest.raises(httpx2.TransportError):
            httpx2.get(url.replace("https:", "http:") + "/healthz")
        before = served(url)
        certificate(tmp_path)
        eventually(lambda: served(url) != before, what="the renewed certificate")
    with connect(stack) as db:
        users.remove(db, "access-tls")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SIGHTLINE_API__TLS_CERT": "{here}/none.pem"}, "No such file"),
        ({"SIGHTLINE_API__TLS_CERT": "{here}/broken.pem"}, "api.tls_cert"),
        ({"SIGHTLINE_API__TLS_KEY": "{here}/broken.pem"}, "api.tls_cert is not"),
    ],
)
def test_a_certificate_that_is_none_is_one_line(
    stack: Settings, tmp_path: Path, given: dict[str, str], said: str
) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    env = {name: value.format(here=tmp_path) for name, value in given.items()}
    env |= {"SIGHTLINE_API__PORT": "0"}
    done = run_sightline(stack.home, "run", "api", check=False, env=env)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sightline: ")
    assert said in last

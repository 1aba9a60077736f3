"""Certificate authority of a home, trusted by its own servers and clients alone."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sightline.runtime.private_files import CertificateFiles, write_private_file

_SERVER_ADDRESS = IPv4Address("127.0.0.1")

_AUTHORITY_DAYS = 3650
_CERTIFICATE_DAYS = 397
RENEW_DAYS = 60
"""A certificate that expires within so many days is renewed by the next `up`."""

_CLOCK_SKEW = timedelta(minutes=5)
_EXTENDED_KEY_USAGES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


class Authority:
    """Signs certificates with the key in its folder, which is created if it is missing."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._now = now
        self._pair = CertificateFiles(folder / "ca.crt", folder / "ca.key")
        if not self._pair.certificate.exists():
            self._create()
        self._certificate = x509.load_pem_x509_certificate(self._pair.certificate.read_bytes())
        key = load_pem_private_key(self._pair.key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is not one of ours")
        self._key = key

    def ensure(self, name: str, pair: CertificateFiles) -> bool:
        """Issue a certificate for a name if it is missing or expires; return whether it was issued.

        It is valid for clients, and for servers on loopback.
        """
        if pair.certificate.exists() and pair.key.exists() and self._is_valid(pair.certificate):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name, key.public_key(), _CERTIFICATE_DAYS)
        names = [x509.DNSName("localhost"), x509.IPAddress(_SERVER_ADDRESS)]
        builder = (
            builder.issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_EXTENDED_KEY_USAGES), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        _write(pair, key, builder.sign(self._key, hashes.SHA256()))
        return True

    def _is_valid(self, path: Path) -> bool:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False  # issued by a former authority
        return certificate.not_valid_after_utc > self._now + timedelta(days=RENEW_DAYS)

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = "Sightline home"
        builder = self._builder(name, key.public_key(), _AUTHORITY_DAYS)
        builder = (
            builder.issuer_name(_common_name(name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True), critical=True)
        )
        _write(self._pair, key, builder.sign(key, hashes.SHA256()))

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _CLOCK_SKEW)
            .not_valid_after(self._now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(
    pair: CertificateFiles, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    """Write the key before the certificate, so that a certificate never lacks its key."""
    pair.certificate.unlink(missing_ok=True)
    write_private_file(
        pair.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    draft = pair.certificate.with_suffix(".new")
    draft.write_bytes(certificate.public_bytes(Encoding.PEM))
    draft.replace(pair.certificate)

"""The platform's own CA in a cluster: makes it, and issues certificates with the names that workloads are called by."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lykta_common.errors import Code, PlatformError
from lykta_common.tls import IDENTITY_PREFIX

_SKEW: Final = timedelta(minutes=15)
"""A certificate is valid from this long before it was made: clocks of nodes differ."""


class Authority:
    """Issues certificates; nothing of it touches a disk."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def new(cls, name: str, days: int, now: datetime) -> "Authority":
        """Make a CA that lives for so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(subject, subject, key, now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> "Authority":
        """Load a CA from PEM; raises PlatformError when the two are not one."""
        try:
            loaded, private = (
                x509.load_pem_x509_certificate(certificate),
                serialization.load_pem_private_key(key, password=None),
            )
        except ValueError as error:
            raise _unusable("cannot be read") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != loaded.public_key():
            raise _unusable("has a key that is not its certificate's")
        return cls(loaded, private)

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """Its private key."""
        return _key_pem(self._key)

    def issue(self, workload: str, dns_names: Sequence[str], days: int, now: datetime) -> dict[str, bytes]:
        """Return `ca.crt`, `tls.crt` and `tls.key` of a workload; never longer valid than the CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*map(x509.DNSName, dns_names), x509.UniformResourceIdentifier(IDENTITY_PREFIX + workload)]
        certificate = (
            _builder(_name(workload), self.certificate.subject, key, now, days, self.certificate.not_valid_after_utc)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return {
            "ca.crt": self.pem,
            "tls.crt": certificate.public_bytes(serialization.Encoding.PEM),
            "tls.key": _key_pem(key),
        }

    def still_good(self, files: dict[str, bytes], dns_names: Sequence[str], days: int, now: datetime) -> bool:
        """Say whether a certificate is of this CA, has these names, and more than a third of its life left."""
        try:
            certificate = x509.load_pem_x509_certificate(files["tls.crt"])
            certificate.verify_directly_issued_by(self.certificate)
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (KeyError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        lasts = certificate.not_valid_after_utc - now
        return (
            files.get("ca.crt") == self.pem
            and "tls.key" in files
            and set(found.get_values_for_type(x509.DNSName)) == set(dns_names)
            and lasts > timedelta(days=days) / 3
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:  # fmt: skip
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(min(end, latest) if latest else end)
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _unusable(why: str) -> PlatformError:
    message = f"the platform's CA {why}; restore its Secret, or delete it with all *-tls Secrets to begin anew"
    return PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)

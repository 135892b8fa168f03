"""Mutual TLS between workloads; identity is the URI SAN `spiffe://lykta/<workload>`."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509

from lykta_common.errors import invalid

IDENTITY_PREFIX: Final = "spiffe://lykta/"


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of one workload."""

    ca: Path
    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Return CA, certificate and key; raises PlatformError that names the file that cannot be read."""
        try:
            return self.ca.read_bytes(), self.certificate.read_bytes(), self.key.read_bytes()
        except OSError as error:
            raise invalid(f"cannot read the TLS file {error.filename}: {error.strerror}") from error


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that require a client certificate of the same CA."""
    ca, certificate, key = files.read()
    return grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)


def channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Return credentials with which this workload calls others."""
    ca, certificate, key = files.read()
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context for NATS and HTTPS with this workload's certificate."""
    files.read()
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def workload_of(certificate_pem: bytes) -> str:
    """Return the workload a certificate names; the empty string when it names none."""
    try:
        names = x509.load_pem_x509_certificate(certificate_pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound):
        return ""
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return next((uri.removeprefix(IDENTITY_PREFIX) for uri in uris if uri.startswith(IDENTITY_PREFIX)), "")

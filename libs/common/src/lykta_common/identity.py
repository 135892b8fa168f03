"""Who calls: the workload from the client certificate, the person's tokens from the metadata."""

from typing import Any, Final

import grpc

from lykta_common.errors import Code, PlatformError
from lykta_common.tls import IDENTITY_PREFIX

AUTHORIZATION: Final = "authorization"


def workload(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return the calling workload; the empty string when the certificate names none."""
    names = context.auth_context().get("x509_subject_alternative_name", [])
    for raw in names:
        name = raw.decode()
        if name.startswith(IDENTITY_PREFIX):
            return name.removeprefix(IDENTITY_PREFIX)
    return ""


def metadata_value(context: grpc.aio.ServicerContext[Any, Any], key: str) -> str:
    """Return one metadata value of the call; the empty string when it is absent."""
    for name, value in context.invocation_metadata() or ():
        if name == key:
            return value.decode() if isinstance(value, bytes) else value
    return ""


def bearer_token(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return the person's bearer token; raises PlatformError UNAUTHENTICATED when none was sent."""
    scheme, _, token = metadata_value(context, AUTHORIZATION).partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", "no person's token was sent; log in first")
    return token


def bearer_metadata(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries a person's token."""
    return ((AUTHORIZATION, f"Bearer {token}"),)


def require_workload(context: grpc.aio.ServicerContext[Any, Any], allowed: frozenset[str]) -> str:
    """Return the calling workload; raises PlatformError when it is not one of these."""
    name = workload(context)
    if name not in allowed:
        raise PlatformError(Code.PERMISSION_DENIED, "WORKLOAD", f"the workload {name or '(none)'!r} may not call this")
    return name

"""Translates refusals of the domain into the platform's one error."""

from typing import Final

from lykta_common.errors import Code, PlatformError

from lykta_access_control.domain.refusal import Refusal

CODES: Final[dict[str, Code]] = {
    "INVALID_FIELD": Code.INVALID_ARGUMENT,
    "NOT_FOUND": Code.NOT_FOUND,
    "CONFLICT": Code.ALREADY_EXISTS,
    "UNAUTHENTICATED": Code.UNAUTHENTICATED,
    "ROLE": Code.PERMISSION_DENIED,
    "SECOND_PERSON": Code.PERMISSION_DENIED,
    "NO_GRANT": Code.PERMISSION_DENIED,
    "GRANT_SCOPE": Code.PERMISSION_DENIED,
    "GRANT_EXPIRED": Code.PERMISSION_DENIED,
    "GRANT_REVOKED": Code.PERMISSION_DENIED,
    "CASE_CLOSED": Code.FAILED_PRECONDITION,
    "WRONG_STATE": Code.FAILED_PRECONDITION,
}
"""Code of every reason the domain gives."""

DENIED: Final = frozenset(CODES) - {"INVALID_FIELD", "CONFLICT", "WRONG_STATE"}
"""Reasons that make an attempt a denied one, which is logged; the others are mistakes of form or order."""


def platform_error(refusal: Refusal) -> PlatformError:
    """Return the error a caller sees for a refusal."""
    return PlatformError(CODES[refusal.reason], refusal.reason, refusal.message)

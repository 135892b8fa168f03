"""Verifies grant tokens locally: JWS compact (RFC 7515), EdDSA, of the right type, by access-control's key."""

import json
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSAlgModel, JWSRegistry  # type: ignore[attr-defined]
from lykta_common.clock import Clock
from lykta_common.signing import Verifier

from lykta_storage.domain.grants import TOKEN_TYPE, ClaimError, Grant, read_claims

ALGORITHM: Final = "EdDSA"
_LONGEST: Final = 64 * 1024


class _OnlyEdDSA(JWSRegistry):
    """Knows one algorithm and no other, whatever a header asks for (RFC 8725, 3.1)."""

    def __init__(self) -> None:
        super().__init__(algorithms=[ALGORITHM])

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return the algorithm; raises UnsupportedAlgorithmError for any other name."""
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError(f"{name!r} is not accepted")
        return self.algorithms[name]


class GrantTokens:
    """Reads tokens; every known key is tried."""

    def __init__(self, verifier: Verifier, clock: Clock) -> None:
        self._keys = {name: OKPKey.import_key(key) for name, key in verifier.keys.items()}
        self._registry = _OnlyEdDSA()
        self._clock = clock

    def read(self, token: str) -> Grant:
        """Return the grant a token carries; raises ClaimError with the reason when it carries none."""
        if len(token) > _LONGEST:
            raise ClaimError("UNAUTHENTICATED", "the grant token is too long")
        for key in self._keys.values():
            try:
                found = jws.deserialize_compact(token, key, registry=self._registry)
            except (JoseError, ValueError):
                continue
            if found.headers().get("typ") != TOKEN_TYPE:
                raise ClaimError("UNAUTHENTICATED", "the token is no grant token")
            return read_claims(_claims(found.payload), self._clock.now())
        raise ClaimError("UNAUTHENTICATED", "the grant token's signature does not verify; fetch the token anew")


def _claims(payload: bytes) -> dict[str, object]:
    try:
        claims = json.loads(payload)
    except ValueError as error:
        raise ClaimError("UNAUTHENTICATED", "the grant token holds no claims") from error
    if not isinstance(claims, dict):
        raise ClaimError("UNAUTHENTICATED", "the grant token holds no claims")
    return claims

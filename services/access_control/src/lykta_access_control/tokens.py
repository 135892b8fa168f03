"""Grant tokens: what an issued grant says, as a signed JSON web token for the store of footage (wire page)."""

from datetime import datetime
from typing import Final

from joserfc import jwt
from joserfc.jwk import OKPKey
from lykta_common.signing import Signer
from lykta_contracts.instants import to_wire

from lykta_access_control.domain.grants import Case, Grant
from lykta_access_control.domain.refusal import wrong_state
from lykta_access_control.jose import Algorithms

ALGORITHM: Final = "EdDSA"
TYPE: Final = "lykta-grant+jwt"
ISSUER: Final = "lykta/access-control"
AUDIENCE: Final = "lykta/storage"


class GrantTokens:
    """Makes tokens with one Ed25519 key; `kid` names it."""

    def __init__(self, signer: Signer) -> None:
        self._key_id = signer.key_id
        self._key = OKPKey.import_key(signer.private_key)

    def issue(self, grant: Grant, case: Case, now: datetime) -> str:
        """Return the token (JWS compact, RFC 7515) of an issued grant; raises RefusedError when it is not issued."""
        if grant.approved_at is None or grant.expires_at is None:
            raise wrong_state("the grant was not issued yet; ask an approver")
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": grant.person_id,
            "jti": grant.grant_id,
            "iat": int(now.timestamp()),
            "nbf": int(grant.approved_at.timestamp()),
            "exp": int(grant.expires_at.timestamp()),
            "ctl": grant.controller,
            "case": case.case_id,
            "purpose": case.purpose,
            "cams": list(grant.cameras),
            "from": to_wire(grant.interval.from_at),
            "to": to_wire(grant.interval.to_at),
            "act": sorted(grant.actions),
        }
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": self._key_id}
        return jwt.encode(header, claims, self._key, registry=Algorithms(ALGORITHM))

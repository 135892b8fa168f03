"""The development identity provider: real tokens over HTTPS for whoever has the secret, marked as what it is."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from lykta_standalone.dev_identity import DevelopmentProvider, Identity, issuer_at, serving
from lykta_standalone.development import GRANT_TYPE, TOKEN_SECONDS
from lykta_standalone.pki import LocalAuthority
from lykta_standalone.ports import free_ports

PEOPLE = {"anna": Identity("anna", "Anna Berg")}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running provider that trusts the local authority alone."""
    authority = LocalAuthority(tmp_path)
    port = free_ports(1)[0]
    provider = DevelopmentProvider(issuer_at(port), "lykta", PEOPLE, "the secret")
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    async with (
        serving(provider, port, authority.issue("identity")),
        httpx.AsyncClient(verify=context, base_url=issuer_at(port) + "/", trust_env=False) as found,
    ):
        yield found


def _form(**changes: str) -> dict[str, str]:
    return {"grant_type": GRANT_TYPE, "client_secret": "the secret", "person": "anna"} | changes


async def test_a_token_verifies_with_the_published_keys(client: httpx.AsyncClient) -> None:
    """Discovery leads to keys that verify a token, which says who, for whom, from whom and until when."""
    discovery = (await client.get(".well-known/openid-configuration")).json()
    keys = KeySet.import_key_set((await client.get(discovery["jwks_uri"])).json())
    answer = await client.post(discovery["token_endpoint"], data=_form())
    claims = jwt.decode(answer.json()["id_token"], keys, algorithms=["ES256"]).claims
    assert (claims["sub"], claims["name"], claims["aud"]) == ("anna", "Anna Berg", "lykta")
    assert claims["iss"] == discovery["issuer"] == str(client.base_url).rstrip("/")
    assert claims["exp"] - claims["iat"] == TOKEN_SECONDS
    assert not any("d" in key for key in (await client.get(discovery["jwks_uri"])).json()["keys"])


async def test_it_says_everywhere_that_it_is_for_development(client: httpx.AsyncClient) -> None:
    """Issuer, discovery page and tokens carry the mark by which a production profile refuses them."""
    discovery = (await client.get(".well-known/openid-configuration")).json()
    assert discovery["lykta_development"] is True
    assert discovery["issuer"].endswith("/development")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "a guess"}, "invalid_client"),
        ({"person": "mallory"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"person": "x" * 5000}, "invalid_request"),
    ],
)
async def test_it_refuses_with_the_reason(client: httpx.AsyncClient, changes: dict[str, str], error: str) -> None:
    """A wrong secret, an unknown person, another grant type or a large body get no token."""
    answer = await client.post("token", data=_form(**changes))
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert "id_token" not in answer.json()

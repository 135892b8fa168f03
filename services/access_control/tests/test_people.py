"""Login tokens: what does not verify is refused, keys rotate, and a provider that is away does not lock people out."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import OctKey
from lykta_access_control.domain.refusal import RefusedError
from lykta_access_control.people import People, Provider, ProviderKeys
from lykta_common.errors import PlatformError
from lykta_testing.clock import ManualClock

ISSUER = "https://id.example"


@pytest.fixture
async def people(clock: ManualClock, issuer: Any) -> AsyncIterator[People]:
    """The verifier with an issuer behind it."""
    provider = Provider(ISSUER, "lykta", frozenset({"root"}))
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        yield People(provider, ProviderKeys(provider, client, clock), clock)


@pytest.fixture
def mint(clock: ManualClock, issuer: Any) -> Any:
    """Make a token at the clock's time."""
    return lambda person="ada", **changes: issuer.token(person, **({"now": clock.now().timestamp()} | changes))


async def refusal(people: People, token: str) -> str:
    """Verify a token that must be refused; return the message."""
    with pytest.raises(RefusedError) as caught:
        await people.verify(token)
    assert caught.value.refusal.reason == "UNAUTHENTICATED"
    return str(caught.value)


async def test_a_good_token_names_its_person(people: People, mint: Any, clock: ManualClock) -> None:
    """Subject, name and expiry come from the token; who runs the platform comes from the settings."""
    person = await people.verify(mint())
    assert (person.person_id, person.name, person.operator) == ("ada", "Ada", False)
    assert person.expires_at is not None
    assert clock.now() < person.expires_at <= clock.now() + timedelta(hours=1, seconds=30)
    assert (await people.verify(mint("root"))).operator
    assert (await people.verify(mint(aud=["other", "lykta"]))).person_id == "ada"


async def test_claims_that_do_not_fit_are_refused(people: People, mint: Any, clock: ManualClock) -> None:
    """Another issuer or audience, an expiry that is past or missing, a start that is to come, no subject: refused."""
    past, future = clock.now().timestamp() - 31, clock.now().timestamp() + 3600
    for changes, word in (
        ({"iss": "https://other.example"}, "issuer"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience"),
        ({"exp": past}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": "soon"}, "instant"),
        ({"exp": True}, "instant"),
        ({"exp": 1e300}, "instant"),
        ({"nbf": future}, "not valid yet"),
        ({"iat": future}, "not valid yet"),
        ({"sub": None}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"lykta_development": True}, "stand-in"),
    ):
        assert word in await refusal(people, mint(**changes)), changes


async def test_forged_tokens_are_refused(people: People, mint: Any, issuer: Any) -> None:
    """No algorithm, a symmetric one with the public key, another key under a known id, a changed body: refused."""
    head, body, signature = mint().split(".")

    def encode(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    none = encode({"alg": "none", "kid": "first"})
    assert "not signed" in await refusal(people, f"{none}.{body}.")
    public = OctKey.import_key(json.dumps(issuer.keys[0].as_dict(private=False)))
    claims = base64.urlsafe_b64decode(body + "==")
    confused = jws.serialize_compact({"alg": "HS256", "kid": "first"}, claims, public, algorithms=["HS256"])
    assert "not signed" in await refusal(people, confused)
    assert "does not verify" in await refusal(people, mint(key=issuer.new_key("first")))
    assert "does not know" in await refusal(people, mint(key=issuer.new_key("second")))
    other = encode(json.loads(claims) | {"sub": "root"})
    assert "does not verify" in await refusal(people, f"{head}.{other}.{signature}")
    assert "does not verify" in await refusal(people, f"{encode({'alg': 'RS256', 'kid': 'first'})}.{body}.{signature}")


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "....", "e30.e30.", "ä.ö.å", "x" * 20_000])
async def test_what_is_no_token_is_refused(people: People, token: str) -> None:
    """Anything that is not a signed token is refused without asking the provider."""
    await refusal(people, token)


async def test_a_new_key_of_the_provider_is_found(people: People, mint: Any, issuer: Any, clock: ManualClock) -> None:
    """After a rotation the new key serves, and the old one stops when the provider has withdrawn it."""
    old = mint()
    await people.verify(old)
    issuer.keys = [issuer.new_key("second")]
    await clock.advance(timedelta(seconds=11))
    assert (await people.verify(mint())).person_id == "ada"
    await clock.advance(timedelta(seconds=61))
    assert "does not know" in await refusal(people, old)


async def test_unknown_keys_do_not_hammer_the_provider(
    people: People, mint: Any, issuer: Any, clock: ManualClock
) -> None:
    """A hundred tokens with unknown keys cause one look at the provider, and one more after ten seconds."""
    await people.verify(mint())
    for number in range(100):
        await refusal(people, mint(key=issuer.new_key(f"unknown-{number % 3}")))
    assert issuer.asked.count("/keys") == 1
    await clock.advance(timedelta(seconds=11))
    await refusal(people, mint(key=issuer.new_key("unknown")))
    await refusal(people, mint(key=issuer.new_key("unknown")))
    assert issuer.asked.count("/keys") == 2


async def test_an_absent_provider_locks_nobody_out_for_a_day(
    people: People, mint: Any, issuer: Any, clock: ManualClock
) -> None:
    """Known keys go on for a day without the provider; without any key the answer is to try again, not a refusal."""
    await people.verify(mint())
    issuer.away = True
    await clock.advance(timedelta(hours=23))
    assert (await people.verify(mint())).person_id == "ada"
    await clock.advance(timedelta(hours=2))
    with pytest.raises(PlatformError, match="identity provider") as caught:
        await people.verify(mint())
    assert caught.value.retryable
    issuer.away = False
    await clock.advance(timedelta(seconds=2))
    assert (await people.verify(mint())).person_id == "ada"


async def test_a_remembered_token_still_expires(people: People, mint: Any, issuer: Any, clock: ManualClock) -> None:
    """Remembering what was verified never makes a token live longer than it says."""
    token = mint(exp=clock.now().timestamp() + 20)
    await people.verify(token)
    await people.verify(token)
    await clock.advance(timedelta(seconds=51))
    assert "expired" in await refusal(people, token)


@pytest.mark.parametrize(
    "about",
    [{"issuer": "https://other.example"}, {"jwks_uri": "http://id.example/keys"}, {"lykta_development": True}],
)
async def test_a_provider_that_is_not_the_trusted_one_is_refused(
    people: People, mint: Any, issuer: Any, about: dict[str, Any]
) -> None:
    """Another name, keys without TLS, or a stand-in for development: no key is taken from there."""
    issuer.about = about
    with pytest.raises(PlatformError, match="identity provider"):
        await people.verify(mint())


async def test_keys_of_unknown_kinds_do_not_disturb(people: People, mint: Any, issuer: Any) -> None:
    """A provider may publish encryption keys and kinds we do not know beside its signing key."""
    published = [{"kty": "EC", "crv": "P-0", "kid": "odd"}, {"kty": "oct", "k": "AA", "kid": "first"}, {"kty": "new"}]
    found = issuer.answer
    issuer.answer = lambda path: {"keys": published + found(path)["keys"]} if path.endswith("/keys") else found(path)
    assert (await people.verify(mint())).person_id == "ada"

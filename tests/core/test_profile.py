"""RFC 9068, 4 row by row, and what section 2.2 demands of the claims."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.issuer import Issuer
from sidecar.core.profile import RFC9068_TOKEN_TYPES, Profile
from tests.fakes.tokens import SigningKey, ec_key, rsa_key
from tests.fakes.world import AUDIENCE, ISSUER, ISSUERS, NOW, World

R = DenyReason
PROFILED: Issuer = replace(
    ISSUERS[0],
    profile=Profile.RFC9068,
    token_types=RFC9068_TOKEN_TYPES,
    type_required=True,
)
GOOD: dict[str, Any] = {"client_id": "robot", "jti": "1", "scope": "reports.write"}


async def ask(
    *, header: dict[str, Any] | None = None, key: SigningKey | None = None, **claims: Any
) -> Decision:
    """Return the decision on a token that keeps the profile but for what is changed."""
    world = World(issuers=[PROFILED])
    token = world.sign(header=header, key=key, **{**GOOD, **claims})
    return await world.wait_for("POST", "/reports", token=token)


def reason(decision: Decision) -> DenyReason | None:
    return decision.reason if isinstance(decision, Deny) else None


async def test_a_token_that_keeps_the_profile_is_granted() -> None:
    assert isinstance(await ask(), Grant)


@pytest.mark.parametrize(
    ("typ", "verdict"),
    [
        ("at+jwt", None),
        ("application/at+jwt", None),
        ("AT+JWT", None),
        ("JWT", R.TOKEN_UNREADABLE),
        ("jwt", R.TOKEN_UNREADABLE),
        ("application/jwt", R.TOKEN_UNREADABLE),
        ("dpop+jwt", R.TOKEN_UNREADABLE),
        ("", R.TOKEN_UNREADABLE),
        (None, R.TOKEN_UNREADABLE),
    ],
)
async def test_the_type_must_be_at_jwt_and_any_other_value_is_rejected(
    typ: str | None, verdict: DenyReason | None
) -> None:
    assert reason(await ask(header={"typ": typ})) is verdict


async def test_an_encrypted_token_is_rejected() -> None:
    world = World(issuers=[PROFILED])
    token = world.sign(**GOOD)

    decision = await world.wait_for("POST", "/reports", token=f"{token}.AA.AA")

    assert reason(decision) is R.TOKEN_UNREADABLE


@pytest.mark.parametrize("iss", [ISSUER + "/", ISSUER.upper(), "https://other.example", None])
async def test_the_issuer_must_exactly_match(iss: str | None) -> None:
    assert reason(await ask(iss=iss)) is R.UNKNOWN_ISSUER


@pytest.mark.parametrize(
    ("aud", "verdict"),
    [
        (AUDIENCE, None),
        ([AUDIENCE, "https://other.example"], None),
        ("https://other.example", R.WRONG_AUDIENCE),
        ([], R.WRONG_AUDIENCE),
        (None, R.WRONG_AUDIENCE),
    ],
)
async def test_the_audience_must_contain_us(aud: Any, verdict: DenyReason | None) -> None:
    assert reason(await ask(aud=aud)) is verdict


async def test_the_signature_must_be_the_providers() -> None:
    assert reason(await ask(key=ec_key("stranger"))) is R.UNKNOWN_KEY
    forged = rsa_key("forger")
    assert reason(await ask(key=forged, header={"kid": "rsa"})) is R.BAD_SIGNATURE


async def test_the_algorithm_none_is_rejected() -> None:
    assert reason(await ask(header={"alg": "none"})) is R.ALGORITHM_REFUSED


@pytest.mark.parametrize(("exp", "verdict"), [(NOW + 1, None), (NOW, R.TOKEN_EXPIRED)])
async def test_the_current_time_must_be_before_the_expiry(
    exp: int, verdict: DenyReason | None
) -> None:
    assert reason(await ask(exp=exp)) is verdict


@pytest.mark.parametrize("name", ["exp", "sub", "client_id", "iat", "jti"])
async def test_a_required_claim_must_be_there(name: str) -> None:
    assert reason(await ask(**{name: None})) is R.CLAIMS_REFUSED


@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("value", ["1700000000", True, [], {}])
async def test_a_date_must_be_a_number(name: str, value: Any) -> None:
    assert reason(await ask(**{name: value})) is R.CLAIMS_REFUSED


@pytest.mark.parametrize("client_id", ["", 7, ["robot"], {}])
async def test_the_client_must_be_text(client_id: Any) -> None:
    assert reason(await ask(client_id=client_id)) is R.CLAIMS_REFUSED


@pytest.mark.parametrize("scope", [["reports.write"], [], 7, {}])
async def test_scopes_must_be_one_string(scope: Any) -> None:
    assert reason(await ask(scope=scope)) is R.CLAIMS_REFUSED


async def test_scopes_are_parted_by_spaces_and_may_be_missing() -> None:
    assert isinstance(await ask(scope="a reports.write b"), Grant)
    assert reason(await ask(scope=None)) is R.INSUFFICIENT_SCOPE
    assert reason(await ask(scope="reports.write,b")) is R.INSUFFICIENT_SCOPE


async def test_what_people_signed_in_with_is_left_to_others() -> None:
    assert isinstance(await ask(auth_time=NOW - 5, acr="1", amr=["pwd"]), Grant)


async def test_without_the_profile_none_of_it_is_asked_for() -> None:
    world = World()

    assert isinstance(
        await world.wait_for("GET", "/reports", token=world.sign(header={"typ": None})), Grant
    )


async def test_a_needed_claim_has_to_say_something() -> None:
    world = World(issuers=[replace(ISSUERS[0], needed_claims=frozenset({"azp"}))])

    unsaid: list[Any] = [None, "", []]
    for azp in unsaid:
        decision = await world.wait_for("GET", "/reports", token=world.sign(azp=azp))
        assert isinstance(decision, Deny)
        assert (decision.reason, decision.detail) == (
            R.CLAIMS_REFUSED,
            "azp is missing or empty",
        )
    assert isinstance(await world.wait_for("GET", "/reports", token=world.sign(azp="robot")), Grant)

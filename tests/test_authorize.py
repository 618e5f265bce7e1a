"""THE decision: order of checks, what is remembered, what is waited for, and failing closed."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.groups import GroupRules
from sidecar.core.issuer import Issuer
from sidecar.core.principal import PrincipalKind
from sidecar.core.request import Ambiguity
from sidecar.core.routes import Requirement, Route, Unregistered
from sidecar.core.subject import AccountStatus, SubjectKey
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.ports import Change, StatusUnavailable
from tests.fakes.tokens import ec_key, key_set, rsa_key
from tests.fakes.waiting import until
from tests.fakes.world import AUDIENCE, ISSUER, ISSUERS, NOW, REALM, ROBOT, ROUTES, World

R = DenyReason


@pytest.fixture
def world() -> World:
    return World()


def reason(decision: Decision) -> DenyReason | None:
    """Return why it was denied, or None for a grant."""
    match decision:
        case Grant():
            return None
        case Deny():
            return decision.reason


def granted(decision: Decision) -> Grant:
    assert isinstance(decision, Grant), decision
    return decision


def test_a_good_token_of_an_active_account_is_granted(world: World) -> None:
    grant = granted(world.ask("GET", "/reports", token=world.sign(azp="robot-client")))

    assert grant.route.name == "read"
    assert grant.principal is not None
    assert grant.principal.key == ROBOT
    assert grant.principal.kind is PrincipalKind.SERVICE_ACCOUNT
    assert grant.principal.client_id == "robot-client"


def test_a_disabled_subject_is_denied_although_the_token_is_good(world: World) -> None:
    """Revocation outranks a valid signature."""
    world.disable("robot")
    denial = world.ask("GET", "/reports", token=world.sign())

    assert isinstance(denial, Deny)
    assert denial.reason is R.SUBJECT_INACTIVE
    assert denial.caller is not None
    assert denial.caller.key == ROBOT


async def test_a_denial_after_a_good_signature_names_the_caller(world: World) -> None:
    """At three in the morning: whose token is it that has expired?"""
    denial = world.ask("GET", "/reports", token=world.sign(exp=NOW, jti="j-1"))
    stranger = replace(rsa_key("stranger"), kid="rsa")
    forged = await world.wait_for("GET", "/reports", token=world.sign(key=stranger))

    assert isinstance(denial, Deny)
    assert denial.reason is R.TOKEN_EXPIRED
    assert denial.caller is not None
    assert (denial.caller.key, denial.caller.token_id) == (ROBOT, "j-1")
    assert isinstance(forged, Deny)
    assert forged.caller is None


@pytest.mark.parametrize(
    ("method", "path", "query", "verdict"),
    [
        ("CONNECT", "", "", R.METHOD_REFUSED),
        ("TRACE", "/reports", "", R.METHOD_REFUSED),
        ("get", "/reports", "", R.METHOD_REFUSED),
        ("GeT", "/health", "", R.METHOD_REFUSED),
        ("DELETE", "/reports", "", R.NO_ROUTE),
        ("FOO", "/reports", "", R.NO_ROUTE),
        ("GET", "/secret", "", R.NO_ROUTE),
        ("OPTIONS", "*", "", R.NO_ROUTE),
        ("GET", "", "", R.MALFORMED_REQUEST),
        ("GET", "/public/../reports", "", R.MALFORMED_REQUEST),
        ("GET", "/reports", "access_token=x", R.MALFORMED_CREDENTIALS),
        ("GET", "/reports", "a=1&%61ccess_token=x", R.MALFORMED_CREDENTIALS),
        ("GET", "/reports", "x=/public/", None),
    ],
)
def test_method_path_and_query_are_judged_with_the_best_of_tokens(
    world: World, method: str, path: str, query: str, verdict: DenyReason | None
) -> None:
    assert reason(world.ask(method, path, token=world.sign(), query=query)) is verdict


@pytest.mark.parametrize(
    ("authorization", "verdict"),
    [
        ((), R.NO_CREDENTIALS),
        (("Basic eA==",), R.NO_CREDENTIALS),
        (("bearer {}",), None),
        (("BEARER {}",), None),
        (("Bearer {}", "Bearer {}"), R.MALFORMED_CREDENTIALS),
        (("Bearer {}, Bearer {}",), R.MALFORMED_CREDENTIALS),
        (("Bearer  {}",), R.MALFORMED_CREDENTIALS),
        (("Bearer {}\n",), R.MALFORMED_CREDENTIALS),
        (("Bearer {}=",), R.TOKEN_UNREADABLE),
        (("Bearer {}.",), R.TOKEN_UNREADABLE),
        (("Bearer hpk_0123456789",), R.TOKEN_UNREADABLE),
    ],
)
def test_a_credential_has_one_spelling(
    world: World, authorization: tuple[str, ...], verdict: DenyReason | None
) -> None:
    """And a good token remembered before opens no door to its variants."""
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    lines = tuple(line.replace("{}", token) for line in authorization)
    decision = world.authorizer.authorize_now(world.request(authorization=lines))

    assert decision is not None
    assert reason(decision) is verdict


def test_an_open_route_needs_neither_keys_nor_accounts(world: World) -> None:
    world.keys.failure = RuntimeError("no keys")
    world.accounts.live = False
    for token in (None, "garbage", world.sign()):
        grant = granted(world.ask("GET", "/health", token=token))
        assert (grant.route.name, grant.principal) == ("health", None)


def test_an_upgrade_is_refused_where_the_route_takes_none(world: World) -> None:
    """Also on an open route: what follows the switch would pass unseen, on whatever route."""
    for path, verdict in (("/health", R.NO_ROUTE), ("/reports", R.NO_ROUTE), ("/watch", None)):
        request = world.request("GET", path, token=world.sign())
        request.switches_to = ("websocket",)
        decision = world.authorizer.authorize_now(request)

        assert decision is not None
        assert getattr(decision, "reason", None) is verdict


def test_upstreams_own_credential_passes_where_the_route_takes_it() -> None:
    takes = Route("own", "/own", requirement=Requirement(own_credential=True))
    world = World(routes=(takes, *ROUTES))

    def ask(path: str, *, recognised: bool) -> DenyReason | None:
        request = replace(world.request("POST", path), own_credential=recognised)
        decision = world.authorizer.authorize_now(request)
        assert decision is not None
        assert not isinstance(decision, Grant) or decision.principal is None
        return reason(decision)

    assert ask("/own", recognised=True) is None
    assert ask("/own", recognised=False) is R.NO_CREDENTIALS
    assert ask("/reports", recognised=True) is R.NO_CREDENTIALS


def test_an_open_route_is_not_opened_by_an_ambiguous_path() -> None:
    """Upstream may take the path for another one (GHSA-7rh7-c77v-6434 and its kin)."""
    world = World(tolerated=frozenset(Ambiguity))
    for path in ("/public/a;/../admin", "/public/..%2fadmin", "/public/a;x", "/public//a"):
        assert reason(world.ask("GET", path)) is R.MALFORMED_REQUEST
    assert granted(world.ask("GET", "/public/a")).principal is None
    world.enroll("robot", "admin")
    granted(world.ask("GET", "/admin/a%2Fb", token=world.sign()))


def test_what_is_not_tolerated_is_refused_on_every_route(world: World) -> None:
    world.enroll("robot", "admin")

    assert reason(world.ask("GET", "/admin/a%2Fb", token=world.sign())) is R.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("method", "path", "scope", "groups", "verdict"),
    [
        ("POST", "/reports", "reports.write", (), None),
        ("POST", "/reports", "reports.read", (), R.INSUFFICIENT_SCOPE),
        ("POST", "/reports", None, (), R.INSUFFICIENT_SCOPE),
        ("GET", "/admin/x", None, ("root", "ops"), None),
        ("GET", "/admin/x", None, ("ops",), R.MISSING_GROUP),
        ("GET", "/admin/x", None, (), R.MISSING_GROUP),
    ],
)
def test_a_route_demands_scopes_of_the_token_and_groups_of_the_account(
    *,
    world: World,
    method: str,
    path: str,
    scope: str | None,
    groups: tuple[str, ...],
    verdict: DenyReason | None,
) -> None:
    world.enroll("robot", *groups)
    token = world.sign(scope=scope, groups=["admin", "root"])

    assert reason(world.ask(method, path, token=token)) is verdict


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        ({"exp": NOW}, R.TOKEN_EXPIRED),
        ({"exp": NOW + 0.5}, None),
        ({"exp": None}, R.CLAIMS_REFUSED),
        ({"nbf": NOW + 1}, R.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + 1}, R.TOKEN_NOT_YET_VALID),
        ({"aud": "api://other"}, R.WRONG_AUDIENCE),
        ({"aud": None}, R.WRONG_AUDIENCE),
        ({"iss": f"{ISSUER}/"}, R.UNKNOWN_ISSUER),
        ({"iss": None}, R.UNKNOWN_ISSUER),
        ({"sub": "r\r\nX-Auth-Groups: admin"}, R.CLAIMS_REFUSED),
        ({"sub": "stranger"}, R.SUBJECT_UNKNOWN),
    ],
)
async def test_claims_are_judged(
    world: World, claims: dict[str, Any], verdict: DenyReason | None
) -> None:
    decision = await world.wait_for("GET", "/reports", token=world.sign(**claims))

    assert reason(decision) is verdict


def test_the_memory_outlives_no_expiry(world: World) -> None:
    """A result cached beyond ``exp`` is CWE-613; only the signature is remembered."""
    token = world.sign(exp=NOW + 10)
    granted(world.ask("GET", "/reports", token=token))
    world.clock.advance(9.9)
    granted(world.ask("GET", "/reports", token=token))
    world.clock.advance(0.1)

    assert reason(world.ask("GET", "/reports", token=token)) is R.TOKEN_EXPIRED


def test_a_clock_set_back_does_not_extend_a_token_beyond_its_own_dates(world: World) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.clock.step(-3600)

    assert reason(world.ask("GET", "/reports", token=token)) is R.TOKEN_NOT_YET_VALID


def test_the_memory_outlives_no_key(world: World) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.keys.publish(ISSUER, key_set([ec_key()]))

    assert world.authorizer.authorize_now(world.request(token=token)) is None


async def test_a_token_of_a_removed_key_is_denied(world: World) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.keys.publish(ISSUER, key_set([ec_key()]))

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.UNKNOWN_KEY


async def test_a_remembered_token_is_denied_while_there_are_no_keys(world: World) -> None:
    """Keys beyond ``max_stale`` vouch for nothing, and neither does the memory of them."""
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.keys.forget(ISSUER)

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.KEYS_UNAVAILABLE


def test_the_memory_grants_no_other_route(world: World) -> None:
    """A cached result that skipped the scope was CVE-2021-32701."""
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))

    assert reason(world.ask("POST", "/reports", token=token)) is R.INSUFFICIENT_SCOPE
    assert reason(world.ask("GET", "/admin/x", token=token)) is R.MISSING_GROUP


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"audiences": frozenset({"api://other"})}, R.WRONG_AUDIENCE),
        ({"algorithms": frozenset({"ES256"})}, R.ALGORITHM_REFUSED),
        ({"type_required": True, "token_types": frozenset({"jwt"})}, R.TOKEN_UNREADABLE),
        ({"required_claims": {"token_use": "access"}}, R.CLAIMS_REFUSED),
    ],
)
def test_the_memory_grants_nothing_under_other_rules(
    world: World, changed: dict[str, Any], verdict: DenyReason
) -> None:
    """A token cached under one set of rules passed another's in GHSA-wcvh-g65p-v576."""
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.settle([replace(ISSUERS[0], **changed)])

    assert reason(world.ask("GET", "/reports", token=token)) is verdict


def test_the_memory_of_an_issuer_that_is_gone_grants_nothing(world: World) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.settle([])

    assert reason(world.ask("GET", "/reports", token=token)) is R.UNKNOWN_ISSUER


def test_a_lapsed_lease_denies_remembered_tokens_too(world: World) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.accounts.live = False

    assert reason(world.ask("GET", "/reports", token=token)) is R.STATUS_UNAVAILABLE


async def test_an_account_that_becomes_inactive_is_denied_at_the_next_request(
    world: World,
) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    world.enroll("robot", status=AccountStatus.INACTIVE, at_hand=False)

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.SUBJECT_INACTIVE


async def test_a_deleted_account_is_unknown(world: World) -> None:
    token = world.sign()
    granted(world.ask("GET", "/reports", token=token))
    del world.accounts.accounts[ROBOT]
    world.accounts.change(Change(REALM, "robot"))

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.SUBJECT_UNKNOWN


async def test_not_before_of_the_realm_revokes_older_tokens(world: World) -> None:
    token, younger = world.sign(iat=NOW - 10), world.sign(iat=NOW - 1)
    granted(world.ask("GET", "/reports", token=token))
    world.accounts.realm_not_before[REALM] = NOW - 5
    world.accounts.change(Change(REALM))

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.TOKEN_REVOKED
    assert reason(await world.wait_for("GET", "/reports", token=younger)) is None
    without_date = world.sign(iat=None)
    assert reason(await world.wait_for("GET", "/reports", token=without_date)) is R.TOKEN_REVOKED


def test_not_before_of_the_account_revokes_older_tokens(world: World) -> None:
    world.enroll("robot", not_before=NOW - 5)

    assert reason(world.ask("GET", "/reports", token=world.sign())) is R.TOKEN_REVOKED
    granted(world.ask("GET", "/reports", token=world.sign(iat=NOW - 5)))


async def test_a_revoked_token_id_is_denied_and_its_neighbour_is_not(world: World) -> None:
    token, neighbour = world.sign(jti="t-1"), world.sign(jti="t-2")
    granted(await world.wait_for("GET", "/reports", token=token))
    world.accounts.revoked_tokens.add((REALM, "t-1"))
    world.accounts.change(Change(REALM, token_id="t-1"))

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.TOKEN_REVOKED
    granted(await world.wait_for("GET", "/reports", token=neighbour))


async def test_an_unregistered_subject_passes_only_where_the_route_forwards(world: World) -> None:
    token = world.sign(sub="alice")
    grant = granted(await world.wait_for("GET", "/people/x", token=token))

    assert grant.principal is not None
    assert grant.principal.kind is PrincipalKind.UNREGISTERED
    assert (grant.principal.name, grant.principal.groups) == ("", ())
    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.SUBJECT_UNKNOWN


def test_a_forwarding_route_refuses_an_inactive_account(world: World) -> None:
    world.disable("robot")

    assert reason(world.ask("GET", "/people/x", token=world.sign())) is R.SUBJECT_INACTIVE


LAB = "https://lab.example"


@pytest.mark.parametrize("named", [ISSUER, LAB])
@pytest.mark.parametrize("signer", [ISSUER, LAB])
async def test_keys_are_bound_to_their_issuer(named: str, signer: str) -> None:
    """One kid, two issuers, two keys: 2 of the 4 tokens are good (RFC 8725, 3.8)."""
    world = World(issuers=[*ISSUERS, replace(ISSUERS[0], name=LAB)])
    keys = {ISSUER: rsa_key(), LAB: replace(rsa_key("lab"), kid="rsa")}
    for name, key in keys.items():
        world.keys.publish(name, key_set([key]))
    decision = await world.wait_for(
        "GET", "/reports", token=world.sign(iss=named, key=keys[signer])
    )

    assert reason(decision) is (None if named == signer else R.BAD_SIGNATURE)


async def test_two_issuers_of_one_realm_share_subjects_and_others_do_not() -> None:
    other = Issuer(LAB, "lab", audiences=frozenset({AUDIENCE}))
    for issuer, verdict in ((other, R.SUBJECT_UNKNOWN), (replace(other, realm=REALM), None)):
        world = World(issuers=[*ISSUERS, issuer])
        decision = await world.wait_for("GET", "/reports", token=world.sign(iss=LAB))
        assert reason(decision) is verdict


async def test_an_issuer_in_client_mode_judges_the_client() -> None:
    """Cognito's access tokens carry no ``aud``."""
    cognito = replace(
        ISSUERS[0],
        audiences=frozenset(),
        client_claim="client_id",
        clients=frozenset({"robot-client"}),
        required_claims={"token_use": "access"},
    )
    world = World(issuers=[cognito])
    good: dict[str, Any] = {"aud": None, "client_id": "robot-client", "token_use": "access"}

    granted(world.ask("GET", "/reports", token=world.sign(**good)))
    for changed, verdict in (
        ({"client_id": "other"}, R.WRONG_AUDIENCE),
        ({"client_id": None}, R.WRONG_AUDIENCE),
        ({"token_use": "id"}, R.CLAIMS_REFUSED),
    ):
        assert reason(world.ask("GET", "/reports", token=world.sign(**good | changed))) is verdict


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_the_size_of_a_token_is_limited_to_the_byte(extra: int) -> None:
    token = World().sign()
    world = World(max_token_bytes=len(token) - 1 + extra)
    verdict = R.TOKEN_TOO_LARGE if extra == 0 else None

    assert reason(world.ask("GET", "/reports", token=token)) is verdict


def test_a_megabyte_of_garbage_yields_few_words(world: World) -> None:
    denial = world.ask("GET", "/reports", token="A" * 1_000_000)

    assert isinstance(denial, Deny)
    assert len(denial.detail) < 80


# What has to be waited for.


async def test_an_account_not_at_hand_is_read_once(world: World) -> None:
    world.enroll("other", at_hand=False)
    token = world.sign(sub="other")

    assert world.authorizer.authorize_now(world.request(token=token)) is None
    assert world.observer.decisions == []
    granted(await world.wait_for("GET", "/reports", token=token))
    granted(world.ask("GET", "/reports", token=token))
    assert world.accounts.reads == [(SubjectKey(REALM, "other"), None)]


async def test_an_account_that_changes_while_its_answer_is_on_the_way_is_read_again(
    world: World,
) -> None:
    world.enroll("robot", at_hand=False)

    def disable_meanwhile(subject: SubjectKey) -> None:
        world.accounts.on_read = None
        world.enroll(subject.subject, status=AccountStatus.INACTIVE, at_hand=False)

    world.accounts.on_read = disable_meanwhile
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert reason(decision) is R.SUBJECT_INACTIVE
    assert len(world.accounts.reads) == 2


async def test_an_account_that_never_holds_still_is_denied(world: World) -> None:
    world.enroll("robot", at_hand=False)
    world.accounts.on_read = lambda subject: world.accounts.change(Change(REALM, subject.subject))
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert reason(decision) is R.STATUS_UNAVAILABLE
    assert len(world.accounts.reads) == 8


async def test_a_store_that_does_not_answer_is_status_unavailable(world: World) -> None:
    world.enroll("robot", at_hand=False)
    world.accounts.failure = StatusUnavailable("LOADING")
    denial = await world.wait_for("GET", "/reports", token=world.sign())

    assert isinstance(denial, Deny)
    assert (denial.reason, denial.detail) == (R.STATUS_UNAVAILABLE, "LOADING")


async def test_a_lease_that_lapses_while_waiting_denies(world: World) -> None:
    world.enroll("robot", at_hand=False)

    def lapse(_: SubjectKey) -> None:
        world.accounts.live = False

    world.accounts.on_read = lapse
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert reason(decision) is R.STATUS_UNAVAILABLE


async def test_waiting_for_an_account_ends_with_the_budget() -> None:
    world = World(budget_seconds=0.01)
    world.enroll("robot", at_hand=False)
    world.accounts.held = asyncio.Event()
    denial = await world.wait_for("GET", "/reports", token=world.sign())

    assert isinstance(denial, Deny)
    assert denial.reason is R.STATUS_UNAVAILABLE
    assert denial.detail == "waited in vain: account"


@pytest.mark.parametrize(
    ("unsettled", "verdict"), [(False, R.UNKNOWN_KEY), (True, R.KEYS_UNAVAILABLE)]
)
async def test_an_unknown_kid_is_asked_for_once(
    *, world: World, unsettled: bool, verdict: DenyReason
) -> None:
    """401 only where the provider was asked: else a key just rotated in would look forged."""
    world.keys.unsettled = {ISSUER} if unsettled else set()
    token = world.sign(header={"kid": "new"})

    assert reason(await world.wait_for("GET", "/reports", token=token)) is verdict
    assert world.keys.refreshes == [(ISSUER, "new")]


async def test_a_key_rotated_in_is_found_by_the_refresh(world: World) -> None:
    new = rsa_key("new")
    world.keys.on_refresh = lambda issuer: world.keys.publish(issuer, key_set([rsa_key(), new]))

    granted(await world.wait_for("GET", "/reports", token=world.sign(key=new)))
    assert world.keys.refreshes == [(ISSUER, "new")]


async def test_new_key_material_under_an_old_kid_is_found_by_the_refresh(world: World) -> None:
    new = replace(rsa_key("new"), kid="rsa")
    world.keys.on_refresh = lambda issuer: world.keys.publish(issuer, key_set([new]))

    granted(await world.wait_for("GET", "/reports", token=world.sign(key=new)))
    assert world.keys.refreshes == [(ISSUER, "rsa")]


@pytest.mark.parametrize("unsettled", [False, True])
async def test_a_bad_signature_stays_bad_after_one_refresh(
    *, world: World, unsettled: bool
) -> None:
    """Also where keys change on each refresh: no flood of forgeries asks twice."""
    world.keys.unsettled = {ISSUER} if unsettled else set()
    world.keys.on_refresh = lambda issuer: world.keys.publish(issuer, key_set([rsa_key()]))
    forged = world.sign(key=replace(rsa_key("stranger"), kid="rsa"))

    assert reason(await world.wait_for("GET", "/reports", token=forged)) is R.BAD_SIGNATURE
    assert world.keys.refreshes == [(ISSUER, "rsa")]


@pytest.mark.parametrize(
    ("header", "verdict"),
    [({"kid": "new"}, R.KEYS_UNAVAILABLE), ({}, R.BAD_SIGNATURE)],
)
async def test_a_provider_that_hangs_is_waited_for_no_longer_than_the_budget(
    header: dict[str, str], verdict: DenyReason
) -> None:
    """While it has not answered, that a key is absent proves nothing: 503, not 401."""
    world = World(budget_seconds=0.01)
    world.keys.held = asyncio.Event()
    forged = world.sign(key=replace(rsa_key("stranger"), kid="rsa"), header=header)

    assert reason(await world.wait_for("GET", "/reports", token=forged)) is verdict


@pytest.mark.parametrize(
    ("kid", "unsettled", "verdict"),
    [
        ("rsa", False, R.BAD_SIGNATURE),
        ("new", False, R.UNKNOWN_KEY),
        ("new", True, R.KEYS_UNAVAILABLE),
    ],
)
def test_while_the_provider_is_not_to_be_asked_the_verdict_needs_no_waiting(
    *, world: World, kid: str, unsettled: bool, verdict: DenyReason
) -> None:
    world.keys.resting = {ISSUER}
    world.keys.unsettled = {ISSUER} if unsettled else set()
    forged = world.sign(key=replace(rsa_key("stranger"), kid=kid))

    for _ in range(2):
        assert reason(world.ask("GET", "/reports", token=forged)) is verdict
    assert world.keys.refreshes == []


def test_a_refused_token_is_good_once_its_key_is_there(world: World) -> None:
    world.keys.resting = {ISSUER}
    new = replace(rsa_key("new"), kid="rsa")
    token = world.sign(key=new)
    assert reason(world.ask("GET", "/reports", token=token)) is R.BAD_SIGNATURE

    world.keys.publish(ISSUER, key_set([new]))

    granted(world.ask("GET", "/reports", token=token))


async def test_keys_not_loaded_are_asked_for_once(world: World) -> None:
    world.keys.forget(ISSUER)

    assert world.authorizer.authorize_now(world.request(token=world.sign())) is None
    decision = await world.wait_for("GET", "/reports", token=world.sign())
    assert reason(decision) is R.KEYS_UNAVAILABLE
    assert world.keys.refreshes == [(ISSUER, None)]


async def test_keys_that_arrive_are_used(world: World) -> None:
    world.keys.forget(ISSUER)
    world.keys.on_refresh = lambda issuer: world.keys.publish(issuer, key_set([rsa_key()]))

    granted(await world.wait_for("GET", "/reports", token=world.sign()))


@pytest.mark.parametrize(
    "token",
    [
        {"header": {"alg": "none"}},
        {"header": {"alg": "HS256"}},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"jku": "https://evil.example/keys"}},
        {"header": {"kid": ""}},
        {"header": {"kid": None}},
        {"iss": "https://evil.example"},
    ],
    ids=repr,
)
async def test_nothing_is_fetched_for_a_token_that_cannot_pass(
    world: World, token: dict[str, Any]
) -> None:
    await world.wait_for("GET", "/reports", token=world.sign(**token))

    assert world.keys.refreshes == []
    assert world.accounts.reads == []


async def test_no_account_is_read_before_the_signature_is_verified(world: World) -> None:
    forged = world.sign(sub="other", key=replace(rsa_key("stranger"), kid="rsa"))
    await world.wait_for("GET", "/reports", token=forged)

    assert world.accounts.reads == []
    assert len(world.remembered) == 0


# Strict consistency.


async def test_strictly_every_decision_reads_the_store() -> None:
    world = World(strict=True)
    token = world.sign()
    for _ in range(3):
        assert world.authorizer.authorize_now(world.request(token=token)) is None
        granted(await world.wait_for("GET", "/reports", token=token))
    world.accounts.accounts[ROBOT] = replace(
        world.accounts.accounts[ROBOT], status=AccountStatus.INACTIVE
    )

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.SUBJECT_INACTIVE
    assert len(world.accounts.reads) == 4


async def test_strictly_a_standing_does_not_age_through_a_wait_for_keys() -> None:
    """Keys go out of force during the read; while they are fetched, the account is disabled."""
    world = World(strict=True)

    def age(_: SubjectKey) -> None:
        world.accounts.on_read = None
        world.keys.forget(ISSUER)

    def disable_meanwhile(issuer: str) -> None:
        world.clock.advance(10.0)
        world.disable("robot")
        world.keys.publish(issuer, key_set([rsa_key()]))

    world.accounts.on_read = age
    world.keys.on_refresh = disable_meanwhile
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert reason(decision) is R.SUBJECT_INACTIVE
    assert len(world.accounts.reads) == 2


async def test_the_view_is_asked_anew_after_a_wait_for_keys(world: World) -> None:
    world.keys.forget(ISSUER)

    def disable_meanwhile(issuer: str) -> None:
        world.clock.advance(10.0)
        world.disable("robot")
        world.keys.publish(issuer, key_set([rsa_key()]))

    world.keys.on_refresh = disable_meanwhile
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert reason(decision) is R.SUBJECT_INACTIVE


async def test_strictly_an_open_route_reads_nothing() -> None:
    world = World(strict=True)
    granted(world.ask("GET", "/health"))

    assert world.accounts.reads == []


# Failing closed.


async def test_a_failing_port_denies_and_never_grants(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "sidecar.authorize")
    token = world.sign()
    world.keys.failure = RuntimeError("bug")

    assert reason(world.ask("GET", "/reports", token=token)) is R.INTERNAL_ERROR
    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.INTERNAL_ERROR


async def test_a_failing_read_denies_and_is_logged_without_the_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.enroll("robot", at_hand=False)
    world.accounts.failure = RuntimeError("bug")
    token = world.sign()

    assert reason(await world.wait_for("GET", "/reports", token=token)) is R.INTERNAL_ERROR
    assert "the request is denied" in caplog.text
    assert token not in caplog.text


async def test_a_cancelled_request_is_cancelled_and_not_answered(world: World) -> None:
    world.enroll("robot", at_hand=False)
    world.accounts.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(world.wait_for("GET", "/reports", token=world.sign()))
        await until(lambda: world.accounts.reads)
        asking.cancel()

    assert asking.cancelled()
    assert world.observer.decisions == []


# What is told of it.


async def test_every_decision_is_observed_once(world: World) -> None:
    world.enroll("other", at_hand=False)
    decisions = [
        world.ask("GET", "/health"),
        world.ask("GET", "/reports"),
        await world.wait_for("GET", "/reports", token=world.sign(sub="other")),
    ]

    assert [told for _, told, _ in world.observer.decisions] == decisions
    assert all(seconds >= 0 for _, _, seconds in world.observer.decisions)


async def test_explain_shows_what_was_established_and_is_not_observed(world: World) -> None:
    world.disable("robot")
    decision, evidence = await world.authorizer.explain(world.request(token=world.sign()))

    assert reason(decision) is R.SUBJECT_INACTIVE
    assert evidence.route is ROUTES[2]
    assert evidence.token is not None
    assert evidence.issuer == ISSUERS[0]
    assert evidence.claims is not None
    assert evidence.standing is not None
    assert world.observer.decisions == []


async def test_explain_stops_where_the_decision_did(world: World) -> None:
    decision, evidence = await world.authorizer.explain(
        world.request(token=world.sign(iss="https://evil.example"))
    )

    assert reason(decision) is R.UNKNOWN_ISSUER
    assert evidence.token is not None
    assert evidence.issuer is None
    assert evidence.claims is None


def test_the_first_route_that_matches_decides() -> None:
    world = World(routes=[Route("first", "/reports"), *ROUTES])

    assert granted(world.ask("GET", "/reports", token=world.sign())).route.name == "first"


def by_claim(**names: str) -> tuple[Issuer, ...]:
    return tuple(replace(each, groups=GroupRules("groups", names)) for each in ISSUERS)


@pytest.mark.parametrize(
    ("names", "claim", "account", "verdict"),
    [
        ({}, ["admin"], (), None),
        ({}, "ops admin", (), None),
        ({}, ["ops"], ("admin",), R.MISSING_GROUP),
        ({}, None, ("admin",), R.MISSING_GROUP),
        ({}, ["ops,admin"], (), R.MISSING_GROUP),
        ({}, {"admin": True}, (), R.CLAIMS_REFUSED),
        ({"leads": "admin"}, ["leads"], (), None),
        ({"leads": "admin"}, ["admin"], (), R.MISSING_GROUP),
    ],
)
def test_where_a_claim_counts_a_route_asks_for_its_groups(
    names: dict[str, str], claim: object, account: tuple[str, ...], verdict: DenyReason | None
) -> None:
    world = World(issuers=by_claim(**names))
    world.enroll("robot", *account)

    assert reason(world.ask("GET", "/admin/x", token=world.sign(groups=claim))) is verdict


def test_a_claim_with_groups_lets_no_disabled_account_in() -> None:
    world = World(issuers=by_claim())
    world.disable("robot")

    assert reason(world.ask("GET", "/admin/x", token=world.sign(groups=["admin"]))) is (
        R.SUBJECT_INACTIVE
    )


def test_a_claim_that_counted_yesterday_does_not_count_by_the_settings_of_today() -> None:
    world = World(issuers=by_claim())
    token = world.sign(groups=["admin"])
    granted(world.ask("GET", "/admin/x", token=token))

    world.settle(ISSUERS)

    assert reason(world.ask("GET", "/admin/x", token=token)) is R.MISSING_GROUP


def test_people_without_an_account_are_in_the_groups_of_their_claim() -> None:
    people = Route(
        "staff",
        "/staff",
        requirement=Requirement(groups=frozenset({"staff"}), unregistered=Unregistered.FORWARD),
    )
    world = World(issuers=by_claim(), routes=[people])

    def ask(claim: list[str]) -> DenyReason | None:
        return reason(world.ask("GET", "/staff", token=world.sign(sub="anna", groups=claim)))

    world.accounts.preload(SubjectKey(REALM, "anna"))
    assert ask(["staff"]) is None
    assert ask(["guests"]) is R.MISSING_GROUP
    world.settle(ISSUERS, [people])
    assert ask(["staff"]) is R.MISSING_GROUP


def test_tokens_whose_claims_are_refused_do_not_make_it_forget_those_that_are_good() -> None:
    """A program that has many tokens for others must not cost us the memory of its neighbours."""
    world = World()
    world.remembered = VerifiedTokens(2)
    world.settle(ISSUERS)
    known = world.sign()
    granted(world.ask("GET", "/reports", token=known))
    for number in range(5):
        refused = world.sign(jti=str(number), aud="another")
        assert reason(world.ask("GET", "/reports", token=refused)) is R.WRONG_AUDIENCE

    assert world.remembered.recall(world.remembered.digest(BearerToken(known))) is not None
    assert len(world.remembered) == 1


def test_a_token_that_was_not_valid_yet_is_granted_when_it_is() -> None:
    world = World()
    token = world.sign(nbf=NOW + 100, iat=NOW + 100)
    assert reason(world.ask("GET", "/reports", token=token)) is R.TOKEN_NOT_YET_VALID
    world.clock.advance(200)

    granted(world.ask("GET", "/reports", token=token))

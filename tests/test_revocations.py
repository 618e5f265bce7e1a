"""Revoking tokens: the store's contents, the rounding, and who may be believed."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.access import judge_standing
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.routes import Unregistered
from sidecar.core.subject import Account, AccountStatus, Standing, SubjectKey
from sidecar.ports import AccountNotFound, AuditRecord, Contended, StatusUnavailable
from sidecar.revocations import MARGIN_SECONDS, Revocations, TokenVerifier
from sidecar.settings import schema
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore
from tests.fakes.tokens import key_set, rsa_key
from tests.fakes.world import ISSUER, ISSUERS, World

ROBOT = SubjectKey("corp", "robot")
ACCOUNT = Account("1", "robot", "Robot", ("devops",), AccountStatus.ACTIVE)
NOW = 1_700_000_000.25
NEXT = 1_700_000_001.0


class Office:
    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.store = FakeAccountStore()
        self.observer = RecordingObserver()
        self.revocations = Revocations(self.store, self.clock, self.observer, actor="cli:root")
        self.store.accounts[ROBOT] = ACCOUNT


@pytest.fixture
def office() -> Office:
    return Office()


def is_refused(issued_at: float | None, standing: Standing) -> bool:
    try:
        judge_standing(standing, token_issued_at=issued_at, unregistered=Unregistered.DENY)
    except Denied as denied:
        return denied.reason is DenyReason.TOKEN_REVOKED
    return False


# Rounding: iat has whole seconds, and the revocation falls into one of them.
ROUNDING = [
    (NOW - 3600, True),
    (1_700_000_000.0, True),  # of the same second: it may be older
    (1_700_000_000.9, True),
    (None, True),  # it cannot prove its age
    (1_700_000_001.0, False),
    (1_700_000_002.0, False),
]


@pytest.mark.parametrize(("issued_at", "refused"), ROUNDING)
async def test_a_subjects_tokens_are_refused_up_to_the_end_of_the_second(
    office: Office, issued_at: float | None, *, refused: bool
) -> None:
    account = await office.revocations.revoke_subject_tokens(ROBOT)

    assert account == office.store.accounts[ROBOT]
    assert is_refused(issued_at, Standing(account)) is refused


@pytest.mark.parametrize(("issued_at", "refused"), ROUNDING)
async def test_a_realms_tokens_are_refused_up_to_the_end_of_the_second(
    office: Office, issued_at: float | None, *, refused: bool
) -> None:
    not_before = await office.revocations.revoke_realm_tokens("corp")

    assert office.store.realm_not_before == {"corp": not_before}
    assert is_refused(issued_at, Standing(ACCOUNT, not_before)) is refused


async def test_on_a_full_second_that_second_is_refused_too(office: Office) -> None:
    office.clock.step(-0.25)

    assert (await office.revocations.revoke_subject_tokens(ROBOT)).not_before == NEXT
    assert await office.revocations.revoke_realm_tokens("corp") == NEXT


async def test_a_subjects_revocation_changes_nothing_else_and_is_audited(office: Office) -> None:
    await office.revocations.revoke_subject_tokens(ROBOT)

    after = replace(ACCOUNT, not_before=NEXT, updated_at=NOW, updated_by="cli:root")
    assert office.store.accounts == {ROBOT: after}
    assert office.observer.audits == [
        AuditRecord(NOW, "cli:root", "revoke_subject_tokens", ROBOT, ACCOUNT, after)
    ]


async def test_not_before_is_never_lowered(office: Office) -> None:
    later = replace(ACCOUNT, not_before=NEXT + 3600)
    office.store.accounts[ROBOT] = later
    office.store.realm_not_before["corp"] = NEXT + 3600

    assert (await office.revocations.revoke_subject_tokens(ROBOT)).not_before == NEXT + 3600
    assert await office.revocations.revoke_realm_tokens("corp") == NEXT + 3600
    assert [record.not_before for record in office.observer.audits] == [None, NEXT + 3600]


async def test_a_subject_without_an_account_has_no_tokens_to_revoke(office: Office) -> None:
    with pytest.raises(AccountNotFound):
        await office.revocations.revoke_subject_tokens(SubjectKey("corp", "nobody"))
    assert office.store.writes == 0
    assert office.observer.audits == []


async def test_what_another_wrote_meanwhile_stays(office: Office) -> None:
    disabled = replace(ACCOUNT, status=AccountStatus.INACTIVE)

    def be_faster() -> None:
        office.store.before_put = None
        office.store.accounts[ROBOT] = disabled

    office.store.before_put = be_faster
    await office.revocations.revoke_subject_tokens(ROBOT)

    assert not office.store.accounts[ROBOT].is_active
    assert [record.before for record in office.observer.audits] == [disabled]


async def test_others_who_are_always_faster_are_told(office: Office) -> None:
    def be_faster() -> None:
        account = office.store.accounts[ROBOT]
        office.store.accounts[ROBOT] = replace(account, name=account.name + "x")

    office.store.before_put = be_faster
    with pytest.raises(Contended, match="try again"):
        await office.revocations.revoke_subject_tokens(ROBOT)
    assert office.observer.audits == []


async def test_a_token_is_remembered_beyond_its_end(office: Office) -> None:
    """It is accepted for a leeway more, and Redis forgets by a clock of its own."""
    await office.revocations.revoke_token("corp", "j-1", NOW + 60)

    until = NOW + 60 + MARGIN_SECONDS
    assert office.store.revoked_tokens == {("corp", "j-1"): until}
    key = SubjectKey("corp", "")
    assert office.observer.audits == [
        AuditRecord(NOW, "cli:root", "revoke_token", key, token_id="j-1", until=until)
    ]


def test_the_margin_outlasts_every_leeway_that_the_settings_allow() -> None:
    """Else a revoked token would be let in again between its ``exp`` and the end of its leeway."""
    leeway = schema()["$defs"]["Issuer"]["properties"]["leeway"]

    assert MARGIN_SECONDS - leeway["maximum"] >= 300  # left for the clocks to differ


async def test_a_token_that_has_long_expired_is_written_for_a_second(office: Office) -> None:
    await office.revocations.revoke_token("corp", "j-1", 1.0)

    assert office.store.revoked_tokens == {("corp", "j-1"): NOW + 1}


async def test_what_was_not_written_is_not_audited(office: Office) -> None:
    office.store.failure = StatusUnavailable("no Redis")

    with pytest.raises(StatusUnavailable):
        await office.revocations.revoke_subject_tokens(ROBOT)
    with pytest.raises(StatusUnavailable):
        await office.revocations.revoke_token("corp", "j", NOW)
    with pytest.raises(StatusUnavailable):
        await office.revocations.revoke_realm_tokens("corp")
    assert office.observer.audits == []


def verifier(world: World) -> TokenVerifier:
    return TokenVerifier(world.keys, {each.name: each for each in ISSUERS}, 8192)


@pytest.mark.parametrize("claims", [{}, {"exp": 1}, {"aud": "another's"}])
async def test_a_token_is_known_by_its_signature_even_when_it_is_of_no_use(
    claims: dict[str, Any],
) -> None:
    world = World()

    issuer, found = await verifier(world).verify(world.sign(jti="j-1", **claims))

    assert (issuer.realm, found.token_id) == ("corp", "j-1")
    assert world.keys.refreshes == []


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", DenyReason.MALFORMED_CREDENTIALS),
        ("a b", DenyReason.MALFORMED_CREDENTIALS),
        ("ü.ü.ü", DenyReason.MALFORMED_CREDENTIALS),
        ("opaque", DenyReason.TOKEN_UNREADABLE),
        ("a" * 8193, DenyReason.TOKEN_TOO_LARGE),
        (World().sign(iss="https://other.example"), DenyReason.UNKNOWN_ISSUER),
        (World().sign(header={"alg": "none"}), DenyReason.ALGORITHM_REFUSED),
        (World().sign(exp=None), DenyReason.CLAIMS_REFUSED),
        (World().sign(key=rsa_key("rsa", bits=3072)), DenyReason.BAD_SIGNATURE),
        (World().sign(key=rsa_key("other")), DenyReason.UNKNOWN_KEY),
    ],
)
async def test_a_token_that_we_would_not_let_in_is_not_known(
    token: str, reason: DenyReason
) -> None:
    with pytest.raises(Denied) as denied:
        await verifier(World()).verify(token)
    assert denied.value.reason is reason


async def test_a_new_key_is_fetched_for_its_first_token() -> None:
    world = World()
    world.keys.on_refresh = lambda issuer: world.keys.publish(issuer, key_set([rsa_key("new")]))

    _, claims = await verifier(world).verify(world.sign(key=rsa_key("new"), jti="j-1"))

    assert claims.token_id == "j-1"
    assert world.keys.refreshes == [(ISSUER, "new")]


async def test_without_keys_nobody_can_say() -> None:
    """Neither "revoked" nor "no token of ours" would be true."""
    world = World()
    world.keys.forget(ISSUER)
    with pytest.raises(Denied) as denied:
        await verifier(world).verify(world.sign())
    assert denied.value.reason is DenyReason.KEYS_UNAVAILABLE

    world = World()
    world.keys.unsettled.add(ISSUER)
    with pytest.raises(Denied) as denied:
        await verifier(world).verify(world.sign(key=rsa_key("new")))
    assert denied.value.reason is DenyReason.KEYS_UNAVAILABLE

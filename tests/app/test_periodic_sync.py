"""The job that syncs: when it does, what it makes of trouble, and what it tells."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from sidecar.account_sync import AccountSync, NotFetched, SyncFailure
from sidecar.app.periodic_sync import Parts, PeriodicSync, SyncPolicy
from sidecar.app.running import running
from sidecar.core.account_plan import PlanRules, Vanished
from sidecar.core.subject import AccountStatus, SubjectKey
from sidecar.core.wanted_accounts import WantedAccount
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.ports import StatusUnavailable
from sidecar.service_accounts import ServiceAccounts
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore
from tests.fakes.virtual_time import VirtualLoop
from tests.fakes.waiting import until

INACTIVE = AccountStatus.INACTIVE


async def swallow() -> None:
    """Hang, and make a cancellation a failure, as a client of Redis may."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise StatusUnavailable("disconnected") from None


class FakeSource:
    """Implements ``account_sync.WantedSource``. ``meanwhile`` happens while it is asked."""

    def __init__(self) -> None:
        self.wanted: Sequence[WantedAccount] = ()
        self.failure: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.fetches = 0
        self.swallows = False

    async def fetch(self) -> Sequence[WantedAccount]:
        self.fetches += 1
        if self.swallows:
            await swallow()
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
        return self.wanted


class FakeLeader:
    """Implements ``account_sync.Leader``; ``next`` is what a campaign wins."""

    def __init__(self) -> None:
        self.next = True
        self.failure: Exception | None = None
        self.swallows = False
        self.resigned = self.campaigns = 0
        self._leads = False

    def is_leading(self) -> bool:
        return self._leads

    async def campaign(self) -> None:
        self.campaigns += 1
        if self.swallows:
            await swallow()
        if self.failure is not None:
            raise self.failure
        self._leads = self.next

    async def resign(self) -> None:
        self.resigned += 1
        self._leads = False


class Office:
    """The job among fakes."""

    def __init__(self, every: float = 0.01, beat: float = 0.002) -> None:
        self.source, self.leader = FakeSource(), FakeLeader()
        self.store, self.clock = FakeAccountStore(), FakeClock(1000.0)
        self.registry = CollectorRegistry()
        self.is_sure, self.is_leaving = True, False
        self.accounts = ServiceAccounts(self.store, self.clock, RecordingObserver(), actor="sync")
        rules = PlanRules(Vanished.DISABLE, max_vanished_share=0.5)
        self.job = PeriodicSync(
            SyncPolicy("corp", rules, every, beat),
            Parts(
                self.source,
                AccountSync(self.accounts),
                self.leader,
                SyncMetrics(self.registry),
                self.clock,
            ),
            lambda: self.is_sure,
            lambda: self.is_leaving,
        )

    async def goes_on(self) -> None:
        """Wait until it had the time to sync several times, if it would."""
        campaigns = self.leader.campaigns + 25
        await until(lambda: self.leader.campaigns >= campaigns)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with running(self.job.run):
            yield

    def subjects(self) -> dict[str, bool]:
        return {key.subject: account.is_active for key, account in self.store.accounts.items()}

    def failures(self) -> dict[str, float]:
        found = {
            reason.value: self.registry.get_sample_value(
                "sidecar_sync_failures_total", {"reason": reason.value}
            )
            for reason in SyncFailure
        }
        return {reason: count for reason, count in found.items() if count}

    def synced_at(self) -> float | None:
        return self.registry.get_sample_value("sidecar_sync_last_success_timestamp_seconds")


@pytest.fixture
def office() -> Office:
    return Office()


async def test_it_syncs_at_the_start_and_again_and_again(office: Office) -> None:
    office.source.wanted = [WantedAccount("a")]
    async with office.at_work():
        await until(lambda: office.subjects() == {"a": True})
        office.source.wanted = [WantedAccount("a", status=INACTIVE), WantedAccount("b")]
        await until(lambda: office.subjects() == {"a": False, "b": True})

    assert office.synced_at() == 1000.0
    assert office.failures() == {}
    assert office.leader.resigned == 1
    for kind, count in (("add", 2), ("disable", 1)):
        assert office.registry.get_sample_value("sidecar_sync_changes_total", {"kind": kind}) == (
            count
        )


async def test_only_who_leads_syncs(office: Office) -> None:
    office.leader.next = False
    office.source.wanted = [WantedAccount("a")]
    async with office.at_work():
        await office.goes_on()
        assert office.source.fetches == 0

        office.leader.next = True
        await until(lambda: office.subjects() == {"a": True})
        office.leader.next = False
        await until(lambda: not office.leader.is_leading())
        await office.goes_on()
        fetches = office.source.fetches
        await office.goes_on()
        assert office.source.fetches == fetches


async def test_a_store_that_elects_nobody_is_asked_again_and_told_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the user of the sidecar may only read."""
    office.leader.failure = StatusUnavailable("Redis: NoPermissionError")
    async with office.at_work():
        await office.goes_on()
        assert office.source.fetches == 0
        assert office.failures() == {"store": 1}
        assert "NoPermissionError" in caplog.text
        office.leader.failure = None
        await until(lambda: office.source.fetches)


@pytest.mark.parametrize("at", ["the election", "the sync"])
async def test_the_job_ends_although_its_cancellation_was_swallowed(
    office: Office, at: str
) -> None:
    office.leader.swallows = at == "the election"
    office.source.swallows = at == "the sync"
    async with asyncio.timeout(10):
        async with office.at_work():
            await until(
                lambda: office.leader.campaigns if at == "the election" else office.source.fetches
            )

    assert office.leader.resigned


async def test_it_waits_until_the_store_is_known_to_be_what_it_was(office: Office) -> None:
    office.is_sure = False
    office.source.wanted = [WantedAccount("a")]
    async with office.at_work():
        await until(office.leader.is_leading)
        await office.goes_on()
        assert office.source.fetches == 0

        office.is_sure = True
        await until(lambda: office.subjects() == {"a": True})


async def test_a_store_that_is_doubted_while_the_gateway_is_asked_is_not_written_to(
    office: Office,
) -> None:
    def doubt() -> None:
        office.is_sure = False

    office.source.wanted = [WantedAccount("a")]
    office.source.meanwhile = doubt
    assert not await office.job.once()

    assert office.subjects() == {}
    assert office.failures() == {"store": 1}


async def test_who_is_about_to_end_leaves_it_to_others(office: Office) -> None:
    async with office.at_work():
        await until(office.leader.is_leading)
        office.is_leaving = True
        await until(lambda: office.leader.resigned)
        assert not office.leader.is_leading()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (NotFetched(SyncFailure.MALFORMED, "not JSON"), "malformed"),
        (NotFetched(SyncFailure.UNREACHABLE, "refused"), "unreachable"),
        (RuntimeError("a bug"), "internal"),
    ],
)
async def test_a_list_that_cannot_be_had_changes_nothing(
    office: Office, caplog: pytest.LogCaptureFixture, failure: Exception, reason: str
) -> None:
    await office.accounts.create(SubjectKey("corp", "a"))
    office.source.failure = failure
    assert not await office.job.once()

    assert office.subjects() == {"a": True}
    assert office.failures() == {reason: 1}
    assert office.synced_at() == 0
    assert caplog.records


async def test_what_could_not_be_asked_is_asked_again_and_syncs_then(office: Office) -> None:
    office.source.wanted = [WantedAccount("a")]
    office.source.failure = NotFetched(SyncFailure.UNREACHABLE, "refused")
    async with office.at_work():
        await until(lambda: office.source.fetches > 2)
        office.source.failure = None
        await until(lambda: office.subjects() == {"a": True})


def test_nobody_waits_a_day_for_a_gateway_that_was_away_for_a_moment() -> None:
    loop = VirtualLoop()
    office = Office(every=86400.0, beat=5.0)
    office.source.failure = NotFetched(SyncFailure.UNREACHABLE, "refused")

    async def two_minutes() -> None:
        async with office.at_work():
            await asyncio.sleep(125)

    try:
        loop.run_until_complete(two_minutes())
    finally:
        loop.close()
    assert office.source.fetches == 5


async def test_a_subject_twice_or_a_store_that_is_away_changes_nothing(office: Office) -> None:
    office.source.wanted = [WantedAccount("a"), WantedAccount("a")]
    await office.job.once()
    office.source.wanted = [WantedAccount("a")]
    office.store.failure = StatusUnavailable("away")
    await office.job.once()

    assert office.failures() == {"malformed": 1, "store": 1}
    assert office.synced_at() == 0


async def test_a_list_that_would_shut_out_everybody_is_not_believed_and_told(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.accounts.create(SubjectKey("corp", "a"))
    await office.job.once()

    assert office.subjects() == {"a": True}
    assert office.failures() == {"too_many_vanished": 1}
    assert office.synced_at() == 0
    assert "1 would be disabled at once" in caplog.text


async def test_what_could_not_be_changed_is_told_and_is_no_success(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.source.wanted = [WantedAccount("a")]

    def somebody_is_faster() -> None:
        key = SubjectKey("corp", "a")
        office.store.before_put = None
        office.store.accounts[key] = office.store.accounts.get(key) or made

    made = await office.accounts.create(SubjectKey("corp", "a"))
    office.store.accounts.clear()
    office.store.before_put = somebody_is_faster
    await office.job.once()

    assert office.failures() == {"change": 1}
    assert office.synced_at() == 0
    assert "it came or went meanwhile" in caplog.text


async def test_what_lasts_is_told_once_and_in_bounds(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.accounts.create(SubjectKey("corp", "shut"), active=False)
    office.source.wanted = [
        WantedAccount("shut"),
        *(WantedAccount(f"bad\n{number}") for number in range(50)),
    ]
    await office.job.once()
    told = len(caplog.records)
    await office.job.once()

    assert told == len(caplog.records) == 11
    assert "and 41 more such" in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)
    assert office.failures() == {"unholdable": 100}
    assert office.synced_at() == 1000.0

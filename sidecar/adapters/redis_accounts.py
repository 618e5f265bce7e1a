"""The account view on Redis: filled on demand, invalidated by Redis itself, under a lease.

**The invariant**: nothing is granted on the status of an account as it was more than
``max_staleness`` ago, by the steady clock. Whatever ``look_up`` returns, and whatever ``read``
returned when ``is_live`` holds right after it, was so at some moment within the last
``max_staleness`` seconds. ``tests/adapters/test_view_model.py`` holds the view to it over thousands
of histories. What it rests on:

1. Any writer revokes: the push comes from the key (``CLIENT TRACKING ... BCAST``), not from a
   message that a well-behaved writer remembers to send.
2. The lease. Redis sends broadcast invalidations at the end of the turn of its event loop in which
   the keys changed, after the replies of that turn. So the answer to a PING may overtake an
   invalidation of its own turn, never one of an earlier turn; and since a PING is sent only after
   the one before was answered, they are of different turns. Hence: when PING n is answered,
   everything written before PING n-1 *was sent* has been heard. The view is live for
   ``max_staleness`` from then.
3. Replies and invalidations take effect in the order in which they arrived: a read that an
   invalidation overtook is forgotten with it, and a read that begins afterwards asks anew.
4. A new connection starts with nothing known: what changed meanwhile was not heard.
5. The server is the primary. That is confirmed again and again (``redis_primary``), and the lease
   lasts no longer than ``max_staleness`` from the last time it was.
6. The store was not rolled back (``store_revision``): old data that is pushed is old all the same.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.known_standings import KnownStandings
from sidecar.adapters.outage_log import OutageLog
from sidecar.adapters.redis_push import PushConnection
from sidecar.adapters.store_revision import Memory, RevisionGuard, read_mark
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.subject import Standing, SubjectKey
from sidecar.ports import Change, Clock, Observer, StatusUnavailable, ViewEvent

log = logging.getLogger(__name__)


class RedisAccountView:
    """Implements ``ports.AccountView``. ``run`` keeps it connected."""

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        keys: AccountKeys,
        policy: ViewPolicy,
        clock: Clock,
        observer: Observer,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        memory: Memory | None = None,
    ) -> None:
        self._connect = connect
        self._keys = keys
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._sleep = sleep
        self._connection: PushConnection | None = None
        self._listeners: list[Callable[[Change], None]] = []
        self._outage = OutageLog()
        self._known = KnownStandings(policy.max_subjects)
        self._revision = RevisionGuard(accept=policy.accept_rolled_back, memory=memory)
        self._asking: dict[str, asyncio.Future[Any]] = {}
        self._live_until = 0.0
        self._primary_at = 0.0
        self._revision_moved = asyncio.Event()
        self._revision_is_unsure = False

    def is_live(self) -> bool:
        return self._clock.steady() < self._live_until

    def proven_at(self) -> float | None:
        """Return the steady time up to which the view is proven; None before the first proof."""
        return self._live_until - self._policy.max_staleness if self._live_until else None

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        if self._clock.steady() >= self._live_until:
            return None
        return self._known.look_up(subject, token_id)

    async def read(self, subject: SubjectKey, token_id: str | None) -> Standing:
        connection = self._connection
        if connection is None:
            raise StatusUnavailable("no connection to Redis")
        if self._revision.problem is not None:
            raise StatusUnavailable(self._revision.problem)
        keys, known, realm = self._keys, self._known, subject.realm
        questions = [
            ("HGETALL", keys.account(subject), known.fill_account(subject)),
            ("HGETALL", keys.realm(realm), known.fill_realm(realm)),
        ]
        if token_id is not None:
            questions.append(
                ("EXISTS", keys.revoked(realm, token_id), known.fill_revoked(realm, token_id))
            )
        answers = [self._ask(connection, *question) for question in questions]
        # Shared by all who wait: whoever leaves first must not take it from the others, so it is
        # never cancelled. And an answer that came while the loop was busy is not late.
        _, late = await asyncio.wait(answers, timeout=self._policy.read_timeout)
        if late:
            raise StatusUnavailable("Redis did not answer in time")
        account, not_before, *revoked = [each.result() for each in answers]
        return Standing(account, not_before, any(revoked))

    def watch(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    async def run(self) -> None:
        """Keep the view connected until cancelled."""
        policy, failures = self._policy, 0
        while True:
            began = self._clock.steady()
            # In a task of its own: a group that ends with an error at the moment of a cancellation
            # swallows that, and this loop would never end.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._try())
            lasted = self._clock.steady() - began > policy.max_backoff
            failures = 0 if lasted else failures + 1
            ceiling = min(policy.max_backoff, 0.02 * 2 ** min(failures, 10))
            await self._sleep(random.uniform(ceiling / 2, ceiling + policy.spread))  # noqa: S311 - jitter

    async def _try(self) -> None:
        try:
            await self._hold_connection()
        except StatusUnavailable as lost:
            self._outage.failed(str(lost), self._clock.steady())
            self._observer.view_changed(ViewEvent.LOST)
        except Exception:
            log.exception("the account view failed; it starts again, empty")
            self._observer.view_changed(ViewEvent.LOST)

    async def _hold_connection(self) -> None:
        connection = PushConnection(self._connect(), self._hear)
        try:
            await connection.run(lambda: self._serve(connection), self._policy.timeout)
        finally:
            self._connection = None
            self._asking.clear()

    async def _serve(self, connection: PushConnection) -> None:
        prefix = self._keys.prefix
        await self._answer(connection.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix))
        await self._check_primary(connection)
        await self._revision.recall()
        await self._check_revision(connection)
        # What was known before may have changed unheard. Forget it, then let the streams ask.
        self._known.forget_all()
        self._connection = connection
        self._observer.view_changed(ViewEvent.CONNECTED)
        self._tell(Change())
        await self._check_eviction(connection)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat(connection))
            tasks.create_task(self._stay_on_primary(connection))
            tasks.create_task(self._follow_revision(connection))

    async def _answer(self, asked: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._policy.timeout):
                return await asked
        except TimeoutError:
            raise StatusUnavailable("Redis does not answer") from None

    async def _check_primary(self, connection: PushConnection) -> None:
        began = self._clock.steady()
        await self._answer(connection.check_primary())
        self._primary_at = began

    async def _stay_on_primary(self, connection: PushConnection) -> None:
        while True:
            # A quarter to wait, a quarter for those that are asked: the lease does not lapse.
            await self._sleep(self._policy.max_staleness / 4)
            await self._check_primary(connection)

    async def _check_revision(self, connection: PushConnection) -> None:
        await self._answer(connection.ask("MGET", *self._keys.marks, read=self._judge))

    async def _follow_revision(self, connection: PushConnection) -> None:
        while True:
            await self._revision_moved.wait()
            self._revision_moved.clear()
            await self._check_revision(connection)

    def _judge(self, reply: Any) -> None:
        *mark, schema = reply
        self._revision.judge_schema(schema)
        noticed = self._revision.judge(read_mark(mark))
        self._revision_is_unsure = False
        if noticed:
            self._observer.view_changed(ViewEvent.ROLLED_BACK)
        if self._revision.problem is not None:
            self._live_until = 0.0

    async def _check_eviction(self, connection: PushConnection) -> None:
        """Warn when Redis may drop keys on its own: a revoked token would be good again."""
        policy = await self._answer(connection.eviction_policy())
        if policy not in (None, "noeviction"):
            log.warning(
                "Redis evicts accounts when its memory is full: maxmemory-policy is %s "
                "and should be noeviction",
                policy,
            )
            self._observer.view_changed(ViewEvent.EVICTING)

    async def _beat(self, connection: PushConnection) -> None:
        proven = None
        while True:
            sent = self._clock.steady()
            await self._answer(connection.ask("PING"))
            self._observer.view_proven(self._clock.steady() - sent)
            if proven is not None:
                self._extend_lease(min(proven, self._primary_at) + self._policy.max_staleness)
                await self._sleep(max(0.0, sent + self._policy.heartbeat - self._clock.steady()))
            proven = sent

    def _extend_lease(self, until: float) -> None:
        if self._revision.problem is not None or self._revision_is_unsure:
            return
        was_live = self.is_live()
        self._live_until = max(self._live_until, until)
        if not was_live and self.is_live():
            self._outage.over(self._clock.steady())
            self._observer.view_changed(ViewEvent.LIVE)

    def _ask(
        self, connection: PushConnection, command: str, key: str, read: Callable[[Any], Any]
    ) -> asyncio.Future[Any]:
        asked = None if self._policy.strict else self._asking.get(key)
        if asked is not None:
            return asked

        def settle(reply: Any) -> Any:
            # At the reply's own place in the order: a read that begins after an invalidation must
            # not join an answer from before it.
            self._asking.pop(key, None)
            return read(reply)

        asked = self._asking[key] = connection.ask(command, key, read=settle)
        asked.add_done_callback(lambda done: self._end_asking(key, done))
        return asked

    def _end_asking(self, key: str, done: asyncio.Future[Any]) -> None:
        if self._asking.get(key) is done:
            del self._asking[key]

    def _hear(self, changed: list[bytes] | None) -> None:
        if changed is None:
            # FLUSHALL or FLUSHDB: everybody is unknown now.
            self._known.forget_all()
            self._observer.view_changed(ViewEvent.FLUSHED)
            self._doubt_revision()
            self._tell(Change())
            return
        for key in changed:
            name = key.decode(errors="replace")
            change = self._keys.read_change(name)
            if change is not None:
                self._known.forget(change)
                self._tell(change)
            elif name in self._keys.marks:
                self._revision_moved.set()
        self._observer.view_changed(ViewEvent.INVALIDATED)

    def _doubt_revision(self) -> None:
        """Look after the revision, and be sure of nothing until it is known."""
        self._revision_moved.set()
        if self._revision.may_be_missed:
            self._revision_is_unsure = True
            self._live_until = 0.0

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)

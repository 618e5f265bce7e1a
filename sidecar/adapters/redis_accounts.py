"""The account view on Redis: filled on demand, invalidated by Redis itself, under a lease.

Any writer revokes: the push comes from the key (``CLIENT TRACKING ... BCAST``), not from a message
that a well-behaved writer remembers to send.

The lease. Redis sends broadcast invalidations at the end of the turn of its event loop in which
the keys changed, after the replies of that turn. So the answer to a PING may overtake an
invalidation of its own turn, never one of an earlier turn; and since a PING is sent only after the
one before was answered, they are of different turns. Hence: when PING n is answered, everything
written before PING n-1 *was sent* has been heard. The view is live for ``max_staleness`` from then.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from redis.asyncio.connection import AbstractConnection

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_push import PushConnection
from sidecar.core.subject import Account, Standing, SubjectKey, read_account, read_not_before
from sidecar.ports import Change, Clock, Observer, StatusUnavailable, ViewEvent

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """Bounds of the view; times in seconds.

    ``max_staleness`` is the promise: nothing is granted on a status older than this. ``timeout``
    bounds the wait for Redis before the connection is given up; ``strict`` reads on every call.
    """

    max_staleness: float = 0.5
    heartbeat: float = 0.1
    timeout: float = 1.0
    max_subjects: int = 100_000
    max_backoff: float = 1.0
    strict: bool = False


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
    ) -> None:
        self._connect = connect
        self._keys = keys
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._sleep = sleep
        self._connection: PushConnection | None = None
        self._listeners: list[Callable[[Change], None]] = []
        self._accounts: _Bounded[SubjectKey, Account | None] = _Bounded(policy.max_subjects)
        self._realms: _Bounded[str, float] = _Bounded(policy.max_subjects)
        self._revoked: _Bounded[tuple[str, str], bool] = _Bounded(policy.max_subjects)
        self._asking: dict[str, asyncio.Future[Any]] = {}
        self._live_until = 0.0

    def is_live(self) -> bool:
        return self._clock.steady() < self._live_until

    def proven_at(self) -> float | None:
        """Return the steady time up to which the view is proven; None before the first proof."""
        return self._live_until - self._policy.max_staleness if self._live_until else None

    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        if self._clock.steady() >= self._live_until:
            return None
        account = self._accounts.get(subject, _MISSING)
        not_before = self._realms.get(subject.realm, _MISSING)
        if account is _MISSING or not_before is _MISSING:
            return None
        if token_id is None:
            return Standing(account, not_before)
        revoked = self._revoked.get((subject.realm, token_id), _MISSING)
        return None if revoked is _MISSING else Standing(account, not_before, revoked)

    async def read(self, subject: SubjectKey, token_id: str | None) -> Standing:
        connection = self._connection
        if connection is None:
            raise StatusUnavailable("no connection to Redis")
        answers = [
            self._ask(
                connection, "HGETALL", self._keys.account(subject), self._fill_account(subject)
            ),
            self._ask(
                connection,
                "HGETALL",
                self._keys.realm(subject.realm),
                self._fill_realm(subject.realm),
            ),
        ]
        if token_id is not None:
            answers.append(
                self._ask(
                    connection,
                    "EXISTS",
                    self._keys.revoked(subject.realm, token_id),
                    self._fill_revoked(subject.realm, token_id),
                )
            )
        try:
            async with asyncio.timeout(self._policy.timeout):
                # Shared by all who wait: whoever leaves first must not take it from the others.
                account, not_before, *revoked = [await asyncio.shield(each) for each in answers]
        except TimeoutError:
            raise StatusUnavailable("Redis did not answer in time") from None
        return Standing(account, not_before, any(revoked))

    def watch(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    async def run(self) -> None:
        """Keep the view connected until cancelled."""
        failures = 0
        while True:
            began = self._clock.steady()
            try:
                await self._hold_connection()
            except StatusUnavailable as lost:
                log.warning("the account store is not available: %s", lost)
                self._observer.view_changed(ViewEvent.LOST)
            except Exception:
                log.exception("the account view failed; it starts again, empty")
                self._observer.view_changed(ViewEvent.LOST)
            lasted = self._clock.steady() - began > self._policy.max_backoff
            failures = 0 if lasted else failures + 1
            ceiling = min(self._policy.max_backoff, 0.02 * 2 ** min(failures, 10))
            await self._sleep(random.uniform(ceiling / 2, ceiling))  # noqa: S311 - jitter

    async def _hold_connection(self) -> None:
        connection = PushConnection(self._connect(), self._hear)
        try:
            await connection.run(lambda: self._serve(connection), self._policy.timeout)
        finally:
            self._connection = None
            self._asking.clear()

    async def _serve(self, connection: PushConnection) -> None:
        async with asyncio.timeout(self._policy.timeout):
            await connection.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._keys.prefix)
        # What was known before may have changed unheard. Forget it, then let the streams ask.
        self._forget_all()
        self._connection = connection
        self._observer.view_changed(ViewEvent.CONNECTED)
        self._tell(Change())
        await self._beat(connection)

    async def _beat(self, connection: PushConnection) -> None:
        proven = None
        while True:
            sent = self._clock.steady()
            try:
                async with asyncio.timeout(self._policy.timeout):
                    await connection.ask("PING")
            except TimeoutError:
                raise StatusUnavailable("Redis does not answer heartbeats") from None
            if proven is not None:
                self._extend_lease(proven + self._policy.max_staleness)
                await self._sleep(max(0.0, sent + self._policy.heartbeat - self._clock.steady()))
            proven = sent

    def _extend_lease(self, until: float) -> None:
        was_live = self.is_live()
        self._live_until = max(self._live_until, until)
        if not was_live and self.is_live():
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

    def _fill_account(self, subject: SubjectKey) -> Callable[[Any], Account | None]:
        def fill(reply: Any) -> Account | None:
            account = read_account(subject.subject, _texts(reply))
            self._accounts.put(subject, account)
            return account

        return fill

    def _fill_realm(self, realm: str) -> Callable[[Any], float]:
        def fill(reply: Any) -> float:
            not_before = read_not_before(_texts(reply).get("not_before"))
            self._realms.put(realm, not_before)
            return not_before

        return fill

    def _fill_revoked(self, realm: str, token_id: str) -> Callable[[Any], bool]:
        def fill(reply: Any) -> bool:
            revoked = int(reply) != 0
            self._revoked.put((realm, token_id), revoked)
            return revoked

        return fill

    def _hear(self, changed: list[bytes] | None) -> None:
        if changed is None:
            # FLUSHALL or FLUSHDB: everybody is unknown now.
            self._forget_all()
            self._observer.view_changed(ViewEvent.FLUSHED)
            self._tell(Change())
            return
        for key in changed:
            change = self._keys.read_change(key.decode(errors="replace"))
            if change is not None:
                self._forget(change)
                self._tell(change)
        self._observer.view_changed(ViewEvent.INVALIDATED)

    def _forget(self, change: Change) -> None:
        realm = change.realm or ""
        if change.subject is not None:
            self._accounts.drop(SubjectKey(realm, change.subject))
        elif change.token_id is not None:
            self._revoked.drop((realm, change.token_id))
        else:
            self._realms.drop(realm)

    def _forget_all(self) -> None:
        self._accounts.clear()
        self._realms.clear()
        self._revoked.clear()

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)


_MISSING: Any = object()


class _Bounded(Generic[K, V]):
    """A dict that forgets the least recently used beyond its capacity."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, default: V) -> V:
        value = self._items.get(key, default)
        if value is not default:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def drop(self, key: K) -> None:
        self._items.pop(key, None)

    def clear(self) -> None:
        self._items.clear()


def _texts(reply: Any) -> dict[str, str]:
    if not isinstance(reply, dict):
        raise TypeError("not a hash")
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in reply.items()
    }

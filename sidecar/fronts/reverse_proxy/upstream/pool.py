"""Which connection carries a request: an idle one, a new one, or the first that becomes free.

A request goes to the address with the fewest requests in flight. One that cannot be connected to is
left out for a while, and asked again by one request after that (``breaker``). When all are left
out, all are asked; or, where they are probed (``health``), none, and the request fails at once. No
timer per request: one sweep looks at all deadlines.
"""

import asyncio
import logging
import math
import ssl
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from sidecar.fronts.reverse_proxy.upstream.address import Address
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.connection import Connection
from sidecar.fronts.reverse_proxy.upstream.health import HealthObserver, Unheard, probe_for_ever
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed, UpstreamPolicy
from sidecar.fronts.reverse_proxy.upstream.trial import Trial, end_trial
from sidecar.ports import UpstreamError

log = logging.getLogger(__name__)

_LONGEST_SWEEP = 1.0
_SHORTEST_SWEEP = 0.01


class Pool:
    """The connections to upstream, between ``async with`` and its end."""

    def __init__(self, policy: UpstreamPolicy, observer: HealthObserver | None = None) -> None:
        self.policy = policy
        self._observer = Unheard() if observer is None else observer
        self._addresses = [Address(url, policy, self._hear) for url in (policy.url, *policy.more)]
        self._probing: list[asyncio.Task[None]] = []
        self._waiting: deque[Carriage] = deque()
        self._connects: dict[asyncio.Task[None], Carriage] = {}
        self._is_closed = False
        self._sweep_seconds = max(
            _SHORTEST_SWEEP,
            min(
                _LONGEST_SWEEP,
                min(
                    policy.connect_timeout, policy.first_byte_timeout, policy.idle_timeout,
                    policy.keep_alive,
                )
                / 4,
            ),
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        self.tasks = await asyncio.TaskGroup().__aenter__()
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(self._sweep_seconds, self._sweep)
        for address in self._addresses:
            self._observer.is_healthy(address.url, healthy=True)
            if self.policy.health is not None:
                probing = probe_for_ever(address, self.policy, self.policy.health, self._observer)
                self._probing.append(self.tasks.create_task(probing))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closed = True
        self._sweeper.cancel()
        for probing in self._probing:
            probing.cancel()
        for task, carriage in self._connects.items():
            task.cancel()
            _tell_of_end(carriage)
        while self._waiting:
            _tell_of_end(self._waiting.popleft())
        for address in self._addresses:
            for connection in (*address.idle, *address.busy):
                connection.close()
        await self.tasks.__aexit__(None, None, None)

    def carry(self, carriage: Carriage) -> None:
        """Send a request as soon as there is a connection for it; the receiver hears the rest."""
        if self._is_closed:
            _tell_of_end(carriage)
            return
        address = self._choose(carriage)
        if address is None:
            carriage.abandon()
            carriage.receiver.failed(
                UpstreamFailed(UpstreamError.CIRCUIT_OPEN, "all are unhealthy")
            )
            return
        if carriage.record is not None:
            carriage.record.asked(address.url)
        connection = None if carriage.is_new_only else address.take_idle()
        if connection is not None:
            connection.is_reused = True
            address.busy.add(connection)
            connection.carry(carriage)
        elif self._count() < self.policy.max_connections or self._make_room():
            self._connect(address, carriage)
        else:
            carriage.deadline = self._loop.time() + self.policy.connect_timeout
            self._waiting.append(carriage)

    def _choose(self, carriage: Carriage) -> Address | None:
        first = self._addresses[0]
        if len(self._addresses) == 1 and (first.breaker.is_closed or self.policy.health is None):
            return first
        now = self._loop.time()
        usable = [each for each in self._addresses if each.breaker.may_ask(now)]
        if not usable and self.policy.health is not None:
            return None
        chosen = min(usable or self._addresses, key=lambda address: address.load)
        if usable and not chosen.breaker.is_closed:
            chosen.breaker.try_once(now)
            carriage.receiver = Trial(carriage.receiver, chosen.breaker, self._loop.time)
        return chosen

    def _hear(self, url: str, healthy: bool) -> None:  # noqa: FBT001
        if self.policy.health is not None:
            log.warning("upstream %s is %s", url, "healthy again" if healthy else "unhealthy")
        self._observer.is_healthy(url, healthy=healthy)

    def _count(self) -> int:
        return sum(address.load + len(address.idle) for address in self._addresses)

    def _make_room(self) -> bool:
        """Close an idle connection that is of no use to this request; say whether there was one."""
        for address in self._addresses:
            if address.idle:
                address.idle.pop(0).close()
                return True
        return False

    def _connect(self, address: Address, carriage: Carriage) -> None:
        address.connecting += 1
        carriage.connects += 1
        task = self.tasks.create_task(self._open(address, carriage))
        self._connects[task] = carriage
        task.add_done_callback(self._connects.pop)

    async def _open(self, address: Address, carriage: Carriage) -> None:
        try:
            await self._connect_and_carry(address, carriage)
        except Exception:
            # It must not end the group of all others.
            log.exception("a connection to upstream could not be made")
            if not carriage.is_abandoned:
                carriage.abandon()
                carriage.receiver.failed(UpstreamFailed(UpstreamError.CONNECT, "see the log"))
            self._serve_waiting()

    async def _connect_and_carry(self, address: Address, carriage: Carriage) -> None:
        try:
            try:
                async with asyncio.timeout(self.policy.connect_timeout):
                    connection = await address.connect(lambda: self._make(address))
            finally:
                address.connecting -= 1
        except (OSError, ValueError) as error:
            address.breaker.failed(self._loop.time())
            self._connect_failed(address, carriage, error)
            return
        address.breaker.connected()
        if carriage.is_abandoned or not connection.is_usable:
            self._leave(address, connection, connection.is_usable)
            if not carriage.is_abandoned:
                carriage.receiver.failed(UpstreamFailed(UpstreamError.RESET, "closed at once"))
            return
        address.busy.add(connection)
        connection.carry(carriage)

    def _connect_failed(self, address: Address, carriage: Carriage, error: Exception) -> None:
        if not carriage.is_abandoned:
            now = self._loop.time()
            others = [each for each in self._addresses if each.breaker.may_ask(now)]
            if others and address not in others and carriage.connects < len(self._addresses):
                # Nothing was sent, so nothing can happen twice: another address may do. But not for
                # ever: by the time that one has timed out, another may be due again.
                end_trial(carriage)
                self.carry(carriage)
            else:
                carriage.receiver.failed(_connect_failure(error))
        self._serve_waiting()

    def _make(self, address: Address) -> Connection:
        return Connection(
            self.policy,
            lambda connection, stays: self._leave(address, connection, stays),
            self._retry,
        )

    def _retry(self, carriage: Carriage) -> None:
        carriage.is_new_only = True
        end_trial(carriage)
        self.carry(carriage)

    def _leave(self, address: Address, connection: Connection, stays: bool) -> None:  # noqa: FBT001
        address.busy.discard(connection)
        if stays:
            connection.deadline = self._loop.time() + self.policy.keep_alive
            address.idle.append(connection)
        else:
            with suppress(ValueError):
                address.idle.remove(connection)
        if self._waiting:
            self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._waiting and (
            self._count() < self.policy.max_connections
            or any(address.idle for address in self._addresses)
        ):
            carriage = self._waiting.popleft()
            if not carriage.is_abandoned:
                carriage.deadline = math.inf
                end_trial(carriage)
                self.carry(carriage)

    def _sweep(self) -> None:
        # First of all: nothing that fails below may end the deadlines of all others.
        self._sweeper = self._loop.call_later(self._sweep_seconds, self._sweep)
        now = self._loop.time()
        for address in self._addresses:
            for connection in [each for each in address.busy if each.deadline <= now]:
                connection.expire()
            for connection in [each for each in address.idle if each.deadline <= now]:
                address.idle.remove(connection)
                connection.close()
        late = [each for each in self._waiting if each.deadline <= now]
        for carriage in late:
            self._waiting.remove(carriage)
            if not carriage.is_abandoned:
                why = UpstreamFailed(UpstreamError.CONNECT_TIMEOUT, "no connection became free")
                carriage.receiver.failed(why)


def _tell_of_end(carriage: Carriage) -> None:
    if not carriage.is_abandoned:
        carriage.abandon()
        carriage.receiver.failed(UpstreamFailed(UpstreamError.CONNECT, "the sidecar is ending"))


def _connect_failure(error: Exception) -> UpstreamFailed:
    name = type(error).__name__
    if isinstance(error, TimeoutError):
        return UpstreamFailed(UpstreamError.CONNECT_TIMEOUT, name)
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return UpstreamFailed(UpstreamError.TLS, name)
    return UpstreamFailed(UpstreamError.CONNECT, name)

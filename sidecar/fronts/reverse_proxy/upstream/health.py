"""Probing upstream: each address is asked now and then, whether there are requests or not."""

import asyncio
import logging
import random
from typing import Protocol

from sidecar.fronts.reverse_proxy.upstream.address import Address
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.connection import Connection
from sidecar.fronts.reverse_proxy.upstream.policy import (
    HealthPolicy,
    UpstreamFailed,
    UpstreamPolicy,
)
from sidecar.fronts.reverse_proxy.upstream.request_head import write_request_head

log = logging.getLogger(__name__)

# So that sidecars that were started together do not probe together for ever.
_JITTER = 0.1


class HealthObserver(Protocol):
    """Hears how the addresses of upstream are; ``address`` is one of the settings."""

    def probed(self, address: str, *, well: bool) -> None:
        """Hear how a probe went."""
        ...

    def is_healthy(self, address: str, *, healthy: bool) -> None:
        """Hear whether the address is asked: at the start, and when that changes."""
        ...


class Unheard:
    """Implements ``HealthObserver`` for nobody."""

    def probed(self, address: str, *, well: bool) -> None: ...

    def is_healthy(self, address: str, *, healthy: bool) -> None: ...


async def probe_for_ever(
    address: Address, policy: UpstreamPolicy, health: HealthPolicy, observer: HealthObserver
) -> None:
    """Probe an address until cancelled, and tell its breaker. Raises nothing else."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        well = await _probe(address, policy, health)
        address.breaker.probed(well=well, now=loop.time())
        observer.probed(address.url, well=well)
        pause = health.interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
        await asyncio.sleep(max(0.0, began + pause - loop.time()))


async def _probe(address: Address, policy: UpstreamPolicy, health: HealthPolicy) -> bool:
    connection: Connection | None = None
    try:
        async with asyncio.timeout(health.timeout):
            connection = await address.connect(lambda: Connection(policy, _left, _not_again))
            if health.path is None:
                return True
            answer = _Answer()
            fields = [
                (b"Host", address.authority.encode()),
                (b"User-Agent", b"sidecar-health"),
                (b"Connection", b"close"),
            ]
            octets = write_request_head("GET", health.path, fields)
            connection.carry(Carriage("GET", octets, answer))
            return await answer.status in health.expect_status
    except (OSError, ValueError, UpstreamFailed):
        return False
    except Exception:
        # It must not end the group of all requests.
        log.exception("upstream could not be probed")
        return False
    finally:
        if connection is not None:
            connection.close()


class _Answer:
    """The answer to a probe; its body is not read. A ``Receiver``."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def begun(self, head: AnswerHead) -> None:
        if not self.status.done():
            self.status.set_result(head.status)

    def failed(self, why: UpstreamFailed) -> None:
        if not self.status.done():
            self.status.set_exception(why)

    def continued(self, data: bytes) -> None: ...

    def received(self) -> None: ...

    def ended(self) -> None: ...

    def writable(self) -> None: ...


def _left(connection: Connection, stays: bool) -> None: ...  # noqa: FBT001


def _not_again(carriage: Carriage) -> None: ...

"""Which proofs were used, in memory."""

import pytest

from sidecar.adapters.memory_proofs import MemoryProofs
from sidecar.ports import StatusUnavailable
from tests.fakes.clock import FakeClock


async def test_a_proof_is_new_once_until_it_is_forgotten() -> None:
    clock = FakeClock()
    proofs = MemoryProofs(clock)

    assert await proofs.use("a", 70)
    assert not await proofs.use("a", 70)
    assert await proofs.use("b", 70)
    clock.advance(69.9)
    assert not await proofs.use("a", 70)
    clock.advance(0.1)
    assert await proofs.use("a", 70)


async def test_one_that_is_full_forgets_nothing_and_says_so() -> None:
    """Whoever sends many proofs must not make room for a replay."""
    clock = FakeClock()
    proofs = MemoryProofs(clock, capacity=2)
    await proofs.use("a", 70)
    await proofs.use("b", 70)

    with pytest.raises(StatusUnavailable):
        await proofs.use("c", 70)
    assert not await proofs.use("a", 70)
    clock.advance(70)
    assert await proofs.use("c", 70)

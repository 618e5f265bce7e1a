"""Roll-back is told from all that looks like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.store_revision import Mark, RevisionGuard, make_epoch, read_mark

FIRST, SECOND = make_epoch(1000.0, "a"), make_epoch(2000.0, "b")


def judged(*marks: Mark, accept: bool = False) -> RevisionGuard:
    guard = RevisionGuard(accept=accept)
    for mark in marks:
        guard.judge(mark)
    return guard


@pytest.mark.parametrize(
    "marks",
    [
        [Mark()],
        [Mark(), Mark()],
        [Mark(), Mark(1)],
        [Mark(7), Mark(7), Mark(8)],
        [Mark(7, FIRST), Mark(8, FIRST)],
        [Mark(7, FIRST), Mark(2, SECOND)],
        [Mark(7), Mark(2, FIRST)],
        [Mark(7, "by hand"), Mark(7, "by hand")],
    ],
)
def test_a_store_that_grows_or_was_confirmed_is_good(marks: list[Mark]) -> None:
    guard = judged(*marks)

    assert not guard.is_rolled_back
    assert guard.seen == marks[-1]


@pytest.mark.parametrize(
    "marks",
    [
        [Mark(7), Mark(6)],
        [Mark(7), Mark()],
        [Mark(1), Mark()],
        [Mark(7, FIRST), Mark()],
        [Mark(7, FIRST), Mark(6, FIRST)],
        [Mark(7, FIRST), Mark(8)],
        [Mark(7, SECOND), Mark(9, FIRST)],  # a dump from before the last confirmation
        [Mark(7, FIRST), Mark(9, "by hand")],
        [Mark(7), Mark(6), Mark(9)],  # written on: what went missing is missing still
        [Mark(7, SECOND), Mark(6, SECOND), Mark(9, FIRST)],
    ],
)
def test_a_store_that_lost_writes_is_rolled_back(marks: list[Mark]) -> None:
    assert judged(*marks).is_rolled_back


def test_it_is_noticed_once_and_over_with_a_later_epoch() -> None:
    guard = judged(Mark(7, FIRST))

    assert guard.judge(Mark(6, FIRST))
    assert not guard.judge(Mark(6, FIRST))
    assert guard.seen == Mark(7, FIRST)
    assert not guard.judge(Mark(7, SECOND))
    assert not guard.is_rolled_back
    assert guard.judge(Mark(6, SECOND))


def test_who_accepts_hears_of_it_and_goes_on_from_there() -> None:
    guard = judged(Mark(7), accept=True)

    assert guard.judge(Mark(6))
    assert not guard.is_rolled_back
    assert not guard.judge(Mark(6))
    assert guard.judge(Mark(5))


def test_only_a_revision_can_be_missed() -> None:
    assert not judged().may_be_missed
    assert not judged(Mark()).may_be_missed
    assert judged(Mark(1)).may_be_missed


@given(st.lists(st.builds(Mark, st.none() | st.integers(0, 9), st.sampled_from(["", FIRST]))))
def test_whatever_is_good_has_not_lost_anything_since_the_epoch_began(marks: list[Mark]) -> None:
    guard = judged(*marks)
    if marks and not guard.is_rolled_back:
        last = marks[-1]
        since = [mark.revision or 0 for mark in marks if mark.epoch == last.epoch]
        assert (last.revision or 0) == max(since)


def test_the_reply_is_read_or_refused() -> None:
    assert read_mark([None, None]) == Mark()
    assert read_mark([b"12", FIRST.encode()]) == Mark(12, FIRST)
    assert read_mark([b"12", FIRST.encode()]).confirmed_at == 1_000_000
    for reply in ([b"x", None], [b"1"], None, 7):
        with pytest.raises((TypeError, ValueError)):
            read_mark(reply)


class FakeMemory:
    """Remembers what it is told, higher or not, and can be told behind the guard's back."""

    def __init__(self, mark: Mark) -> None:
        self.mark = mark

    async def load(self) -> Mark:
        return self.mark

    def note(self, mark: Mark) -> None:
        self.mark = mark


@pytest.mark.parametrize(
    ("kept", "shown", "is_rolled_back"),
    [
        (Mark(), Mark(), False),
        (Mark(), Mark(5), False),
        (Mark(7), Mark(7), False),
        (Mark(7), Mark(6), True),
        (Mark(7), Mark(), True),
        (Mark(7, SECOND), Mark(9, FIRST), True),
        (Mark(7, FIRST), Mark(2, SECOND), False),
    ],
)
async def test_what_an_earlier_life_saw_counts_at_the_start(
    kept: Mark, shown: Mark, *, is_rolled_back: bool
) -> None:
    memory = FakeMemory(kept)
    guard = RevisionGuard(accept=False, memory=memory)

    await guard.recall()

    assert guard.judge(shown) is is_rolled_back
    assert guard.is_rolled_back is is_rolled_back
    assert memory.mark == (kept if is_rolled_back else shown)


async def test_what_another_worker_saw_counts_too_and_less_than_our_own_does_not() -> None:
    memory = FakeMemory(Mark(7))
    guard = RevisionGuard(accept=False, memory=memory)
    guard.judge(Mark(8))

    memory.mark = Mark(9)
    await guard.recall()
    assert guard.seen == Mark(9)

    memory.mark = Mark()
    await guard.recall()
    assert guard.judge(Mark(8))


async def test_a_confirmation_that_another_worker_saw_is_what_the_store_is_held_to() -> None:
    memory = FakeMemory(Mark(7))
    guard = RevisionGuard(accept=False, memory=memory)
    await guard.recall()
    guard.judge(Mark(6))

    memory.mark = Mark(8, FIRST)
    await guard.recall()

    assert not guard.judge(Mark(8, FIRST))
    assert not guard.is_rolled_back
    assert guard.judge(Mark(9))

"""A name is judged once, unless remembering it would let strangers fill the memory."""

import pytest

from sidecar.fronts.name_memory import NameMemory


class Judge:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.memory = NameMemory(self.judge)

    def judge(self, name: str) -> int:
        self.asked.append(name)
        if name == "bad":
            raise ValueError(name)
        return len(name)


def test_a_name_is_judged_once() -> None:
    judge = Judge()

    assert [judge.memory[name] for name in ("a", "bb", "a")] == [1, 2, 1]
    assert judge.asked == ["a", "bb"]


def test_long_names_are_judged_anew() -> None:
    judge = Judge()
    for name in ("x" * 64, "y" * 65) * 2:
        assert judge.memory[name] == len(name)

    assert judge.asked == ["x" * 64, "y" * 65, "y" * 65]


def test_the_memory_has_an_end() -> None:
    judge = Judge()
    for number in range(3000):
        assert judge.memory[f"{number:04}"] == 4

    assert len(judge.memory) == 2048


def test_a_name_that_is_refused_is_refused_again() -> None:
    judge = Judge()
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            judge.memory["bad"]

    assert judge.asked == ["bad", "bad"]

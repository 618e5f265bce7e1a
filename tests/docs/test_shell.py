"""How pages are run: what fails is noticed, and what is not said."""

import os
from pathlib import Path

import pytest

from tests.docs.commands import failures_of, why_not_run
from tests.docs.markdown import ROOT, Block
from tests.docs.shell import Ran, run

PAGE = ROOT / "docs" / "a.md"


def sh(text: str, line: int = 1) -> Block:
    return Block(PAGE, line, "sh", text)


async def run_in_bash(directory: Path, *texts: str) -> list[Ran]:
    blocks = [sh(text, number) for number, text in enumerate(texts)]
    return await run(blocks, directory, {"PATH": os.environ["PATH"]})


async def test_later_blocks_find_what_earlier_ones_left(tmp_path: Path) -> None:
    ran = await run_in_bash(tmp_path, "a=1; cd /\n", 'echo "$a $PWD"\n')

    assert [each.output for each in ran] == ["", "1 /\n"]
    assert [each.problems() for each in ran] == [[], []]


async def test_a_command_that_fails_is_a_problem_of_its_block_alone(tmp_path: Path) -> None:
    ran = await run_in_bash(tmp_path, "false\n", "true\n", "false | cat\n")

    assert [bool(each.problems()) for each in ran] == [True, False, True]


async def test_a_failure_that_the_page_tells_of_is_none(tmp_path: Path) -> None:
    ran = await run_in_bash(
        tmp_path,
        "(exit 3)   # it ends with 3\n",
        "(exit 4)   # it ends with 3\n",
        "true       # it ends with 3\n",
    )

    assert [bool(each.problems()) for each in ran] == [False, True, True]


async def test_a_block_behind_the_end_of_the_shell_is_not_reached(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="was not reached"):
        await run_in_bash(tmp_path, "exit 0\n", "true\n")


def test_a_status_that_the_page_tells_of_has_to_be_that_of_curl() -> None:
    block = sh("curl x   # 401\n")

    assert failures_of(block) == ["22 401"]
    assert not Ran(block, "curl: (22) ... error: 401\n", ["22 curl x"]).problems()
    assert Ran(block, "curl: (22) ... error: 503\n", ["22 curl x"]).problems()
    assert Ran(block, "{}", []).problems()


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("b", 0),
        ("a\nc", 0),
        ("a … d", 0),
        ("c\na", 1),
        ("a", 0),
        ("a b", 1),
        ("…", 0),
    ],
)
def test_the_lines_shown_are_looked_for_in_their_order(shown: str, missing: int) -> None:
    ran = Ran(sh("x"), "a\nb\nc\na (b) d\n")

    assert len(ran.says(Block(PAGE, 9, "text", shown))) == missing


def test_a_block_with_a_command_that_cannot_be_run_is_not_run() -> None:
    assert why_not_run(sh("cd /x\ndocker build .\n")) is not None
    assert why_not_run(sh("curl http://127.0.0.1:8080/docker\n")) is None

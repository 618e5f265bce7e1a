"""Each command of the documents is run in a real shell, or it is listed why it cannot be.

Commands of a page are run in their order, in one shell, so that later ones find what earlier ones
left. What a page shows in a block of ``text`` behind them is what they have to say.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import typer

from sidecar.cli.main import cli
from tests.docs.commands import NOT_RUN, STAYS, why_not_run
from tests.docs.markdown import DOCUMENTS, ROOT, Block, blocks_of, code_of, name_of, words_of
from tests.docs.shell import Ran, run
from tests.docs.world import SUBJECT, World, open_world, own_host

# Pages that begin with the program's account there; the others create it, or need none.
WITH_ACCOUNT = (
    "docs/redis.md",
    "docs/revocation.md",
    "docs/accounts.md",
    "docs/admin.md",
    "docs/start.md",
)


def blocks_of_shell(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language == "sh"]


ALL_BLOCKS = [block for page in DOCUMENTS for block in blocks_of_shell(page)]
RUN_PAGES = [page for page in DOCUMENTS if not all(map(why_not_run, blocks_of_shell(page)))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    for program in ("bash", "curl", "redis-cli"):
        _find(program)
    with tempfile.TemporaryDirectory(prefix="sidecar-docs-") as directory:
        address = Path(directory) / "warm"
        warm = await create_subprocess_exec(
            sys.executable, "-m", "tests.docs.warm_cli", str(address), stdout=PIPE, cwd=ROOT
        )
        try:
            assert warm.stdout is not None
            assert await warm.stdout.readline() == b"ready\n"
            async with open_world(address) as world:
                yield world
        finally:
            warm.terminate()
            await warm.wait()


@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
async def test_what_a_page_says_to_do_does_what_it_says(
    page: Path, world: World, tmp_path: Path
) -> None:
    await world.settle()
    if name_of(page) in WITH_ACCOUNT:
        await world.register(SUBJECT, "devops,ops")
    blocks = [block for block in blocks_of_shell(page) if why_not_run(block) is None]

    ran = await run(blocks, tmp_path, world.environment(tmp_path, own_host()))

    assert [problem for each in ran for problem in each.problems()] == []
    assert list(_unsaid(page, ran)) == []


def _find(program: str) -> None:
    """Skip what needs a program that is not there, or fail it where all have to be, as in CI."""
    if shutil.which(program) is None:
        missing = f"{program} is not installed: the documents' commands are NOT RUN"
        if os.environ.get("REQUIRE_PROXIES"):
            pytest.fail(missing)
        pytest.skip(missing)


def _unsaid(page: Path, ran: list[Ran]) -> Iterator[str]:
    """Return what the page shows behind a block, and the block did not say."""
    by_place = {each.block.place: each for each in ran}
    for block, shown in pairwise(blocks_of(page)):
        if shown.language == "text" and block.place in by_place:
            yield from by_place[block.place].says(shown)


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.place)
def test_a_block_is_what_a_shell_can_read(block: Block) -> None:
    read = subprocess.run(
        ["bash", "-n"], input=block.text, text=True, capture_output=True, check=False
    )

    assert read.stderr == ""


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_what_is_shown_as_output_is_that_of_the_block_before(page: Path) -> None:
    """Where that is run, it is looked for in what the block says."""
    for before, block in pairwise([None, *blocks_of(page)]):
        if block is not None and block.language == "text":
            assert before is not None, block.place
            assert before.language == "sh", block.place


def test_every_reason_not_to_run_a_block_has_a_block() -> None:
    reasons = {why_not_run(block) for block in ALL_BLOCKS}

    assert set(NOT_RUN.values()) <= reasons


def test_a_command_that_stays_has_a_block_to_itself() -> None:
    for block in ALL_BLOCKS:
        if STAYS.search(block.text):
            assert len(block.text.replace("\\\n", "").strip().splitlines()) == 1, block.place


# A command of ours where a shell would find one, however it is reached.
_OURS = re.compile(
    r"(?:^|[|;&(] ?|-- |^\w+=\S+ )(?:\S*python3? -m |[\w./-]*/bin/)?sidecar ([a-z][^|;&>\n]*)",
    re.MULTILINE,
)


def commands_of(page: Path) -> Iterator[str]:
    """Return what the page calls ``sidecar`` with, in its blocks and in its text."""
    for block in blocks_of_shell(page):
        yield from _ours_in(block.text)
    for code in code_of(page):
        if named := re.match(r"sidecar ([a-z][a-z-]*.*)", code):
            yield named[1]


def _ours_in(text: str) -> list[str]:
    return [found.rstrip(" )") for found in _OURS.findall(text.replace("\\\n", " "))]


def test_a_command_is_found_however_it_is_reached() -> None:
    text = """\
sidecar account list
kubectl exec deploy/sidecar -c sidecar -- python -m sidecar account create x \\
  --groups y
A=b sidecar watch --once | cat
/opt/sidecar/bin/sidecar check-config; helm install sidecar deploy/helm/sidecar
x=$(sidecar schema)
"""

    assert _ours_in(text) == [
        "account list",
        "account create x    --groups y",
        "watch --once",
        "check-config",
        "schema",
    ]


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_every_command_that_is_named_has_its_options(page: Path) -> None:
    for text in commands_of(page):
        _check(words_of(text.replace("…", "")))


def _check(words: list[str]) -> None:
    """Raise a usage error where these are no arguments of the command line."""
    command: Any = typer.main.get_command(cli)
    context = typer.Context(command, info_name="sidecar")
    while words and hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(context, words)
    command.make_parser(context).parse_args(list(words))

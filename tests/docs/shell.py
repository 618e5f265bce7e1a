"""A page's blocks, run one after the other in one shell, as a reader would."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.commands import failures_of, stays
from tests.docs.markdown import Block

_PATIENCE_SECONDS = 30.0

# What every page's shell begins with. Questions are answered with yes; failures are written down.
_PROLOGUE = """\
set -u -o pipefail
here=$PWD
redis-cli() { command redis-cli -u "$REDIS_URL" "$@"; }
await() { for _ in $(seq 400); do if "$@"; then return 0; fi; sleep 0.05; done; return 1; }
is_up() { curl --output /dev/null http://127.0.0.1:9090/readyz 2>/dev/null; }
exec < <(yes 2>/dev/null)
"""
# The sidecar that pages call which do not show how it is started.
_SIDECAR = """
sidecar run --config config/sidecar.yaml >sidecar.log 2>&1 &
await is_up || exit 1
"""
_BLOCK = """
exec >"$here/out.{number}" 2>&1
trap 'echo "$? $BASH_COMMAND" >>"$here/failed.{number}"' ERR
{text}
trap - ERR
"""
# It runs beside the others until the page ends, and the next one comes when it has begun.
_STAYING = """
exec >/dev/null 2>&1
( {text} ) >"$here/out.{number}" 2>&1 &
{begun} || echo "it did not begin" >>"$here/failed.{number}"
"""
_EPILOGUE = """
exec >/dev/null 2>&1
trap - ERR
[ -z "$(jobs -p)" ] || { kill -TERM $(jobs -p); wait $(jobs -p); }
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A block that was run: what it said, and which of its commands failed, with what code."""

    block: Block
    output: str
    failed: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Return what is not as the page says."""
        expected = failures_of(self.block)
        if len(expected) == len(self.failed) and all(map(self._is, expected, self.failed)):
            return []
        return [f"{self.block.place}: failed: {self.failed}, said:\n{self.output}"]

    def _is(self, expected: str, failed: str) -> bool:
        code, _, status = expected.partition(" ")
        return failed.startswith(f"{code} ") and f"error: {status}" in f"{self.output} error: "

    def says(self, expected: Block) -> list[str]:
        """Return the lines of ``expected`` that the output lacks; they are there in their order."""
        rest, missing = self.output.splitlines(), []
        for line in filter(None, map(str.strip, expected.text.splitlines())):
            pattern = ".*?".join(map(re.escape, line.split("…")))
            at = next(
                (n for n, said in enumerate(rest) if re.fullmatch(pattern, said.strip())), None
            )
            if at is None:
                missing.append(f"{expected.place}: no line like {line!r} in:\n{self.output}")
            else:
                rest = rest[at + 1 :]
        return missing


async def run(
    blocks: Sequence[Block], directory: Path, environment: Mapping[str, str]
) -> list[Ran]:
    """Run the blocks in one shell; what they left running is ended after the last one."""
    script = directory / "page.sh"
    parts = (
        _PROLOGUE,
        _SIDECAR if _needs_sidecar(blocks) else "",
        *map(_part, range(len(blocks)), blocks),
    )
    script.write_text("".join(parts) + _EPILOGUE)
    shell = await asyncio.create_subprocess_exec(
        "bash", str(script), cwd=directory, env=environment, start_new_session=True
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await shell.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # what a page left behind, and `yes`
        await shell.wait()
    return [_ran(number, block, directory) for number, block in enumerate(blocks)]


def _needs_sidecar(blocks: Sequence[Block]) -> bool:
    """Say whether a sidecar is called that the page does not start itself."""
    text = "\n".join(block.text for block in blocks)
    return re.search(r"^sidecar run", text, re.MULTILINE) is None and (
        re.search(r"\b(?:curl|hoop|watch)\b", text) is not None
    )


def _part(number: int, block: Block) -> str:
    if not stays(block):
        return _BLOCK.format(number=number, text=block.text)
    begun = (
        "await is_up"
        if block.text.startswith("sidecar run")
        else f'await test -s "$here/out.{number}"'
    )
    return _STAYING.format(number=number, text=block.text.strip(), begun=begun)


def _ran(number: int, block: Block, directory: Path) -> Ran:
    output, failed = directory / f"out.{number}", directory / f"failed.{number}"
    assert output.exists(), f"{block.place} was not reached"
    return Ran(
        block, output.read_text(), failed.read_text().splitlines() if failed.exists() else []
    )

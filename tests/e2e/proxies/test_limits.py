"""A limit behind each proxy, as its file in deploy has it: 429, and when to come back."""

import re

import pytest

from tests.e2e.conftest import Site
from tests.e2e.proxies.programs import PROGRAMS, Program
from tests.e2e.proxies.test_proxies import scene_of

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_a_used_up_budget_is_told_to_the_client(program: Program, site: Site) -> None:
    limit = {"requests_per_second": 0.01, "burst": 2}
    async with scene_of(program, site, rate_limit=limit) as scene:
        answers = [await scene.ask("/reports/x") for _ in range(3)]

    assert [status for status, _, _ in answers] == [200, 200, 429]
    _, refusal, heard = answers[-1]
    found = re.search(rb"(?i)\r\nretry-after: (\d+)\r\n", refusal)
    assert found
    assert 90 <= int(found[1]) <= 100
    assert b"too many requests" in refusal
    assert not heard

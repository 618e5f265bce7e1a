"""The admin API does what its OpenAPI document says: schemathesis asks the real process by it."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Site
from tests.e2e.test_admin_api import SECRET, office

pytestmark = pytest.mark.e2e

CONFIG = """
continue-on-failure = true

[generation]
max-examples = 40
deterministic = true

# Ten bad credentials, and nobody is listened to for a while: tests/admin has its own test of these.
[checks]
ignored_auth.enabled = false
"""


async def test_schemathesis_finds_nothing_that_the_document_does_not_say(
    site: Site, tmp_path: Path
) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    async with office(site, workers=1) as found:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
            *(found.sidecar.admin_url + "/api/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {SECRET}"),
            *("--phases", "coverage,fuzzing"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 55)
        text = output.decode()

    assert process.returncode == 0, text
    cases = re.search(r"(\d+) generated", text)
    assert cases is not None, text
    assert int(cases[1]) > 200, text

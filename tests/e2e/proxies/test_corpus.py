"""The attack corpus through real proxies: what is not granted, upstream has never heard of."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from tests.attacks.test_corpus import REQUESTS
from tests.e2e.conftest import Site
from tests.e2e.proxies.programs import PROGRAMS, Program
from tests.e2e.proxies.test_proxies import Scene, scene_of
from tests.fakes.front import status_of

pytestmark = pytest.mark.e2e

# As the corpus means them: see tests/fakes/world.py.
ROUTES = [
    {"name": "health", "path": "/health", "methods": ["GET"], "bearer": False},
    {"name": "public", "path": "/public/**", "bearer": False},
    {"name": "read", "path": "/reports", "methods": ["GET"]},
    {"name": "write", "path": "/reports", "methods": ["POST"], "scopes": ["reports.write"]},
    {"name": "admin", "path": "/admin/**", "groups": ["devops"]},
    {"name": "people", "path": "/people/**", "unregistered": "forward"},
    {"name": "watch", "path": "/watch", "methods": ["GET"], "websocket": True},
]
# A proxy reads host and path out of the one, and the path is an open route's; the other asks about
# the proxy itself (RFC 9110, 9.3.7), which some answer.
OF_THE_PROXY = {"P10 absolute-form", "P10 asterisk"}
# White space around a header's value is no part of it (RFC 9110, 5.5).
TRIMMED = {"J22 space before", "J22 space after"}


def octets_of(row: Mapping[str, Any], token: str, *, bearer: bool) -> bytes:
    target = row["path"] + ("?" + row["query"] if row.get("query") else "")
    lines = [f"{row.get('method', 'GET')} {target} HTTP/1.1", "Host: sidecar.example"]
    if bearer:
        credentials = row.get("authorization", ["Bearer {token}"])
        lines += ["Authorization: " + each.replace("{token}", token) for each in credentials]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8")


async def verdict_on(scene: Scene, octets: bytes) -> tuple[int, list[bytes]]:
    """Return the status, and the targets that upstream heard of meanwhile."""
    before = len(scene.upstream.conversations)
    try:
        status = status_of(await scene.send(octets))
    except (EOFError, ConnectionError):
        status = 400  # ended without a word
    heard = scene.upstream.conversations[before:]
    return status, [each.request_line.split(" ")[1].encode("latin-1") for each in heard]


def is_open(target: bytes) -> bool:
    """Say whether this is an open route's path, however often and in whatever way it is read."""
    path = unquote(unquote(target.partition(b"?")[0].decode("latin-1"))).replace("\\", "/")
    is_plain = "//" not in path and ";" not in path and ".." not in path.split("/")
    return is_plain and (path == "/health" or path.startswith("/public/"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_the_corpus_goes_no_further_than_its_verdict(program: Program, site: Site) -> None:
    """A proxy may spell a target anew (Caddy encodes octets), but then for both."""
    async with scene_of(program, site, routes=ROUTES) as scene:
        for row in REQUESTS:
            name, expected = row["name"], row["expected"]
            if name in OF_THE_PROXY:
                continue
            for bearer in (False, True):
                status, heard = await verdict_on(scene, octets_of(row, scene.token, bearer=bearer))
                if bearer and (expected == "granted" or name in TRIMMED):
                    assert (name, status, len(heard)) == (name, 200, 1)
                    continue
                assert all(map(is_open, heard)), (name, heard)
                assert status >= 400 or heard, name

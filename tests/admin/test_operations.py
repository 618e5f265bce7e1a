"""The table of the admin API: which request is which operation."""

from urllib.parse import quote

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.answers import Refused, answer
from sidecar.admin.operations import Call, Operation, Operations


async def nothing(call: Call) -> web.StreamResponse:
    del call
    return answer(200, {})


def row(method: str, path: str) -> Operation:
    return Operation(f"{method} {path}", method, path, "", nothing, {200: None})


TABLE = Operations(
    (
        row("GET", "/api/things"),
        row("POST", "/api/things"),
        row("GET", "/api/things/{name}"),
        row("POST", "/api/things/{name}/turn"),
        row("POST", "/api/a.b/{name}"),
    )
)


@given(st.text(min_size=1))
def test_a_name_comes_back_however_it_looks(name: str) -> None:
    path = "/api/things/" + quote(name, safe="", errors="surrogatepass")
    found, names = TABLE.find("GET", path)

    assert found.name == "GET /api/things/{name}"
    if name.isascii():
        assert names == {"name": name}


@given(st.sampled_from(["GET", "POST", "HEAD", "get", ""]), st.text(max_size=40))
def test_anything_else_is_an_operation_or_refused(method: str, path: str) -> None:
    statuses = []
    try:
        found, _ = TABLE.find(method, "/api/" + path)
    except Refused as refused:
        statuses.append(refused.status)
    else:
        assert found in TABLE.rows

    assert set(statuses) <= {404, 405}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/things/", 404),
        ("GET", "/api//things", 404),
        ("GET", "/api/%74hings", 404),
        ("GET", "/api/things/a/turn", 405),
        ("get", "/api/things", 405),
        ("HEAD", "/api/things/a/turn", 405),
        ("POST", "/api/axb/c", 404),
        ("POST", "/api/things/a/turn/", 404),
        ("POST", "/api/things/a\n", 405),
    ],
)
def test_only_what_is_written_in_the_table_is_there(method: str, path: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        TABLE.find(method, path)

    assert refused.value.status == status


def test_what_may_be_done_instead_is_said_and_a_head_is_a_get() -> None:
    assert TABLE.find("HEAD", "/api/things")[0].method == "GET"
    with pytest.raises(Refused) as refused:
        TABLE.find("DELETE", "/api/things")
    assert refused.value.headers == {"Allow": "GET, HEAD, POST"}

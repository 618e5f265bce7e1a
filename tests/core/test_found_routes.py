"""Remembered routes are the ones that would be found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.access import find_route
from sidecar.core.decision import Denied
from sidecar.core.found_routes import FoundRoutes
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route, Routes

ROUTES = Routes(
    [
        Route("admin", "/admin/**"),
        Route("read", "/**", frozenset({"GET"})),
    ]
)


def request(method: str, path: str) -> AccessRequest:
    return AccessRequest(method, "a", path, "", (), "", "r")


def found(find: object, *arguments: object) -> object:
    try:
        return find(*arguments)  # type: ignore[operator]
    except Denied as denied:
        return denied.reason


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "TRACE"]),
            st.sampled_from(["/admin/x", "/admin", "/x", "/%61dmin", "/a//b", "/a/../admin"]),
        )
    )
)
def test_whatever_was_asked_before_the_answer_is_the_same(asked: list[tuple[str, str]]) -> None:
    routes = FoundRoutes(ROUTES, frozenset())

    for method, path in asked:
        each = request(method, path)
        assert found(routes.find, each) == found(find_route, each, ROUTES, frozenset())


def test_the_memory_of_paths_is_bounded() -> None:
    routes = FoundRoutes(ROUTES, frozenset())
    for number in range(5000):
        routes.find(request("GET", f"/x/{number}"))
    routes.find(request("GET", "/" + "x" * 300))

    assert len(routes) <= 4096


def test_a_refusal_is_not_remembered() -> None:
    routes = FoundRoutes(ROUTES, frozenset())
    with pytest.raises(Denied):
        routes.find(request("POST", "/x"))

    assert len(routes) == 0

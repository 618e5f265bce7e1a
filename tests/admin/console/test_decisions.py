"""The page of decisions: the latest, filtered, and those to come."""

import pytest

from sidecar.admin.console.decisions import read_wanted
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.routes import Route
from sidecar.observability.recent_decisions import Wanted
from tests.admin.console.listener import listening
from tests.admin.console.visitor import signed_in
from tests.admin.office import Office


def decide(office: Office, path: str = "/api/", **claims: object) -> None:
    request = office.world.request("GET", path, token=office.world.sign(**claims))  # type: ignore[arg-type]
    decision = office.world.authorizer.authorize_now(request)
    assert decision is not None
    office.recent.decided(request, decision, 0.000_042)


async def test_each_decision_is_a_row_the_newest_first_with_its_reason() -> None:
    office = Office()
    decide(office)
    office.world.clock.advance(1)
    decide(office, exp=1)
    decide(office, "/<script>alert(1)</script>\u202e")
    async with signed_in(office) as visitor:
        page = (await visitor.get("/console/decisions")).page

    words = page.text
    assert words.index("denied malformed_request") < words.index("denied token_expired")
    assert words.index("denied token_expired") < words.index("granted none")
    assert "22:13:20.000 granted none robot GET /api/ admin-api 192.0.2.7 42 µs" in words
    assert "GET /<script>alert(1)</script>\\u202e" in words
    assert [each for each in page.all("script") if not each.get("src")] == []
    assert "/console/account?realm=corp&subject=robot" in [
        each.get("href") for each in page.all("a")
    ]


async def test_they_are_filtered_by_a_form_that_works_without_a_script() -> None:
    office = Office()
    decide(office)
    decide(office, exp=1)
    async with signed_in(office) as visitor:

        async def found(query: str) -> list[str]:
            words = (await visitor.get(f"/console/decisions?{query}")).page.text
            return [
                each for each in ("denied token_expired", "granted none robot") if each in words
            ]

        assert await found("outcome=granted") == ["granted none robot"]
        assert await found("reason=token_expired") == ["denied token_expired"]
        assert await found("subject=robot&realm=corp&route=admin-api") == [
            "denied token_expired",
            "granted none robot",
        ]
        assert await found("route=elsewhere") == []
        page = (await visitor.get("/console/decisions?subject=nobody")).page
        assert "Nothing that matches, yet." in page.text


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"outcome": "maybe", "reason": "weather"}, Wanted()),
        ({"subject": " a " + "b" * 999}, Wanted(subject="a " + "b" * 253)),
        ({"route": "read", "realm": "corp"}, Wanted(realm="corp", route="read")),
    ],
)
def test_a_filter_that_makes_no_sense_counts_as_nothing(
    query: dict[str, str], wanted: Wanted
) -> None:
    assert read_wanted(query) == wanted


async def test_those_to_come_are_told_as_they_are_made_some_at_once() -> None:
    office = Office()
    async with signed_in(office) as visitor:
        path = "/console/decisions/events?reason=token_expired"
        async with listening(visitor, path) as listener:
            decide(office)
            decide(office, exp=1)
            decide(office, exp=2)
            html = ""
            while html.count("<tr") < 2:
                html += (await listener.next("prepend"))[1]

    assert html.count("token_expired") == 2
    assert "granted" not in html


async def test_where_they_come_too_fast_it_is_told_how_many_are_missing() -> None:
    office = Office()
    async with (
        signed_in(office) as visitor,
        listening(visitor, "/console/decisions/events") as listener,
    ):
        for _ in range(1200):
            decide(office)
        html = ""
        while "came too fast" not in html:
            html = (await listener.next("prepend"))[1]

    assert "more came too fast to be shown." in html


async def test_what_shadow_let_through_is_a_denial_that_was_not_enforced() -> None:
    office = Office()
    route = Route("shadow", "/api/", shadow=True)
    office.recent.decided(
        office.world.request("GET", "/api/"),
        Grant(route, shadowed=Deny(DenyReason.NO_CREDENTIALS, route=route)),
        0.000_042,
    )
    async with signed_in(office) as visitor:
        words = (await visitor.get("/console/decisions?outcome=denied")).page.text

    assert "denied passed: not enforced no_credentials" in words

"""The page of health."""

import pytest

from sidecar.admin.console.backing import KnownIssuer
from sidecar.admin.console.health import KeysRow
from sidecar.app.running import running
from sidecar.observability.scraped import Keys, Reading
from sidecar.observability.workers import Worker
from sidecar.ports import StatusUnavailable
from tests.admin.console.listener import listening
from tests.admin.console.test_account import FIELDS, PAGE, cut_on_write, enrolled
from tests.admin.console.visitor import open_stream, signed_in
from tests.admin.office import Office
from tests.fakes.world import ISSUER, NOW

HEALTH = "/console/health"


async def test_what_there_is_to_know_is_on_one_page() -> None:
    office = Office()
    office.reading = Reading(
        decisions={("granted", ""): 1500.0, ("denied", "no_route"): 7.0},
        cuts={"revoked": 3.0},
        in_flight={"http": 2.0, "websocket": 0.0},
        keys={ISSUER: Keys(2, NOW - 60.0)},
        is_live=True,
        proven_at=NOW - 0.12,
        fetches={(ISSUER, "fetched"): 4.0, (ISSUER, "timeout"): 2.0, ("other", "status"): 9.0},
        requests={"200": 1400.0, "204": 50.0, "502": 3.0, "other": 1.0, "404": 0.0},
        upstream_errors={"connect": 3.0, "reset": 0.0},
        view_events={"lost": 1.0},
    )
    office.workers = (
        Worker(4711, 1507.0, 3.0, is_live=True, proven_at=NOW - 0.12, keys_loaded_at=NOW - 60.0),
    )
    async with signed_in(office) as visitor:
        words = (await visitor.get(HEALTH)).page.text

    assert "requests can be granted" in words
    assert "View live Age 120 ms (may be 500 ms) Revision 1,234" in words
    assert "Connection lost 1" in words
    assert "Granted 1,500 Denied 7 In flight http 2, websocket 0 Cut revoked 3" in words
    assert "Answered 2xx 1,450, 5xx 3, other 1" in words
    assert "http://upstream.example Upstream failed connect 3" in words
    assert f"{ISSUER} corp fresh 2 1 min ago 4 timeout 2" in words
    assert "4711 live 120 ms ago 1,507 3 1 min ago" in words


async def test_what_is_wrong_is_said_on_top() -> None:
    office = Office()
    office.reading = Reading(shadow_routes=3, shadow_denials={"no_route": 2.0, "rate_limited": 5.0})
    async with signed_in(office) as visitor:
        await visitor.get(HEALTH)
        office.store.failure = StatusUnavailable("away")
        words = (await visitor.get(HEALTH)).page.text

    assert "Nothing is enforced on 3 routes, which are in shadow: 7 requests passed" in words
    assert "The account view is not live: whoever needs an account is refused with 503." in words
    assert f"The keys of {ISSUER} cannot be used: its tokens are refused with 503." in words
    assert "View not live Age never proven" in words
    assert "Revision not known" in words


@pytest.mark.parametrize(
    ("number", "age", "state"),
    [
        (1, 60.0, "fresh"),
        (1, 700.0, "stale"),
        (1, 3700.0, "unusable"),
        (0, 60.0, "unusable"),
        (1, None, "unusable"),
    ],
)
def test_keys_are_fresh_stale_or_unusable(number: int, age: float | None, state: str) -> None:
    issuer = KnownIssuer(ISSUER, "corp", 300.0, 3600.0)
    assert KeysRow(issuer, number, age, 0.0, ()).state == state


async def test_the_last_minutes_are_plotted_and_told_in_figures_too() -> None:
    office = Office()
    async with signed_in(office) as visitor, running(office.console.run):
        before = await visitor.get(HEALTH)
        assert "begins now" in before.page.text or before.page.all("polyline")

        async def is_plotted() -> bool:
            office.world.clock.advance(1)
            return bool((await visitor.get(HEALTH)).page.all("polyline"))

        for _ in range(500):
            if await is_plotted():
                break
        page = (await visitor.get(HEALTH)).page
    assert {each["class"] for each in page.all("polyline")} >= {"line l1", "line l2"}
    assert all(each["role"] == "img" and each["aria-labelledby"] for each in page.all("svg"))
    assert "Age, median Age, most Granted/s, median" in page.text


async def test_what_was_measured_here_is_plotted_and_listed() -> None:
    office = enrolled()
    cut_on_write(office)
    open_stream(office)
    async with signed_in(office) as visitor:
        await visitor.get(PAGE)
        await visitor.post("/console/account/disable", FIELDS)
        page = (await visitor.get(HEALTH)).page

    assert "robot disabled 1 0 ms" in page.text
    assert "line dot" in [each["class"] for each in page.all("polyline")]


async def test_the_page_is_kept_up_to_date() -> None:
    office = Office()
    async with signed_in(office) as visitor:
        await visitor.get(HEALTH)
        async with listening(visitor, "/console/health/events") as listener:
            _, html = await listener.next("replace")
            assert 'badge good">live' in html
            office.reading = Reading()
            while 'badge bad">not live' not in html:
                _, html = await listener.next("replace")

"""The console as a browser without a script sees it: in, around, and out again."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.console.entrance import way_back
from sidecar.core.admin_refusal import AdminRefusal
from sidecar.core.subject import AccountStatus
from tests.admin.console.visitor import Visitor, signed_in, visiting
from tests.admin.office import SECRET, Office
from tests.admin.test_gatekeeper import Authorities
from tests.fakes.world import ISSUER

PAGES = ("/console/", "/console/decisions", "/console/health", "/console/changes")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


async def test_who_is_not_signed_in_is_led_to_the_door_and_afterwards_to_where_they_wanted() -> (
    None
):
    async with visiting() as visitor:
        door = await visitor.get("/console/decisions?outcome=denied")
        assert door.page.all("title")
        assert "Sign in" in door.page.text
        (form,) = door.page.all("form")

        inside = await visitor.post(form["action"], {"credential": SECRET})

        assert inside.status == 200
        assert "Decisions" in inside.page.text
        options = [each for each in inside.page.all("option") if "selected" in each]
        assert [each["value"] for each in options] == ["denied"]


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_short_addresses_lead_to_the_console(path: str) -> None:
    async with visiting() as visitor:
        answer = await visitor.get(path, follow=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/console/")


async def test_who_is_not_signed_in_learns_nothing_of_what_there_is() -> None:
    async with visiting() as visitor:
        for path in (*PAGES, "/console/nowhere", "/console/account?subject=robot"):
            answer = await visitor.get(path, follow=False)
            assert answer.status == 303
            assert answer.headers["Location"].startswith("/console/sign-in?next=")
        assert (await visitor.get("/console/decisions/events")).status == 401


@pytest.mark.parametrize("path", [*PAGES, "/console/sign-in", "/console/nowhere"])
async def test_every_page_says_what_a_browser_may_do_with_it(path: str) -> None:
    async with signed_in() as visitor:
        answer = await visitor.get(path)

        assert answer.headers["Content-Security-Policy"] == CSP
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert not [tag for tag, given in answer.page.elements if "style" in given]
        assert not [
            name for _, given in answer.page.elements for name in given if name.startswith("on")
        ]
        assert "<style" not in answer.html
        assert all(each.get("src") for each in answer.page.all("script"))


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_can_be_found_ones_way_through(path: str) -> None:
    """A language, a title, one heading of the first order, tables with captions and headings."""
    async with signed_in() as visitor:
        page = (await visitor.get(path)).page

    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert next(each["href"] for each in page.all("a")) == "#main"
    assert len(page.all("table")) == len(page.all("caption")) > 0
    assert all(each.get("scope") in ("col", "row") for each in page.all("th"))
    labels = {each["for"] for each in page.all("label")}
    fields = [
        each
        for name in ("input", "select")
        for each in page.all(name)
        if each.get("type") != "hidden"
    ]
    assert {each["id"] for each in fields} <= labels
    current = [each for each in page.all("a") if each.get("aria-current") == "page"]
    assert len(current) == 1


async def test_the_cookie_is_for_the_browser_alone() -> None:
    async with visiting() as visitor:
        answer = await visitor.post("/console/sign-in", {"credential": SECRET}, follow=False)

        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("sidecar-console=")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert SECRET not in cookie


async def test_behind_a_proxy_that_ends_tls_the_cookie_is_for_tls_alone() -> None:
    async with visiting() as visitor:
        host = visitor.office.url.partition("//")[2]
        answer = await visitor.post(
            "/console/sign-in", {"credential": SECRET}, follow=False, Origin=f"https://{host}"
        )

        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-sidecar-console=")
        assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


@pytest.mark.parametrize("credential", ["", "wrong", SECRET + "x", "Bearer", "\u00e9"])
async def test_what_does_not_open_the_api_does_not_open_the_console(
    credential: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with visiting() as visitor:
        answer = await visitor.sign_in(credential)

        assert answer.status == 401
        assert "That does not open the console." in answer.page.text
        assert "Set-Cookie" not in answer.headers
        assert visitor.office.refusals == [AdminRefusal.BAD_CREDENTIALS]
    assert "wrong" not in caplog.text


async def test_who_tries_secrets_out_is_not_listened_to_here_nor_at_the_api() -> None:
    async with visiting() as visitor:
        for number in range(10):
            assert (await visitor.sign_in(f"guess {number}")).status == 401
        answer = await visitor.sign_in()

        assert answer.status == 429
        assert "Too many attempts. Try again in 2 seconds." in answer.page.text
        assert (await visitor.office.ask("GET", "/api/audit"))[0] == 429
        visitor.office.world.clock.advance(2)
        assert (await visitor.sign_in()).status == 200


async def test_a_token_opens_it_for_as_long_as_it_is_good() -> None:
    office = Office()
    token = office.world.sign()
    async with signed_in(office, f"Bearer {token}\n") as visitor:
        assert "admin: corp/robot" in (await visitor.get("/console/")).page.text
        office.world.clock.advance(400)
        assert "Sign in" in (await visitor.get("/console/")).page.text


async def test_an_admin_who_is_disabled_is_out_at_once_and_changes_nothing() -> None:
    office = Office()
    office.world.enroll("robot", "admin")
    async with signed_in(office, office.world.sign()) as visitor:
        await visitor.get("/console/")
        office.world.enroll("robot", "admin", status=AccountStatus.INACTIVE)

        answer = await visitor.post(
            "/console/account/disable", {"realm": "corp", "subject": "alice"}
        )

        assert answer.status == 401
        assert "You are signed out; nothing was changed." in answer.page.text
        assert office.world.observer.audits == []
        office.world.enroll("robot", "admin")
        assert "Sign in" in (await visitor.get("/console/")).page.text


async def test_who_is_no_admin_is_told_no_more_than_that() -> None:
    office = Office()
    office.world.enroll("robot", "ops")
    async with visiting(office) as visitor:
        answer = await visitor.sign_in(office.world.sign())
        assert answer.status == 403
        assert "This account may not use the console." in answer.page.text


async def test_while_nobody_can_say_who_may_come_in_nobody_is_signed_out() -> None:
    office = Office()
    async with signed_in(office, office.world.sign()) as visitor:
        office.world.keys.forget(ISSUER)
        assert (await visitor.get("/console/")).status == 503
        assert (await visitor.sign_in(office.world.sign())).status == 503


async def test_signing_out_ends_the_session_and_takes_the_cookie_back() -> None:
    async with signed_in() as visitor:
        await visitor.get("/console/")
        (kept,) = [each.value for each in visitor.http.cookie_jar]
        answer = await visitor.post("/console/sign-out", {}, follow=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/console/sign-in")
        assert not list(visitor.http.cookie_jar)

        again = await visitor.get("/console/", follow=False, Cookie=f"sidecar-console={kept}")
        assert again.status == 303


async def test_signing_in_makes_a_new_session_whatever_cookie_there_was() -> None:
    async with visiting() as visitor:
        answer = await visitor.post(
            "/console/sign-in",
            {"credential": SECRET},
            follow=False,
            Cookie="sidecar-console=chosen-by-somebody-else",
        )
        assert "chosen" not in answer.headers["Set-Cookie"]


async def test_once_other_settings_are_in_force_everybody_is_out() -> None:
    async with signed_in() as visitor:
        visitor.office.gatekeeper.retire()
        assert "Sign in" in (await visitor.get("/console/")).page.text


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": ""},
        {"Origin": "null", "Sec-Fetch-Site": ""},
        {"Origin": "http://[", "Sec-Fetch-Site": ""},
        {"Origin": "", "Sec-Fetch-Site": "same-site"},
        {"Origin": "", "Sec-Fetch-Site": "none"},
        {"Origin": "", "Sec-Fetch-Site": ""},
    ],
)
@pytest.mark.parametrize("path", ["/console/account/disable", "/console/sign-in"])
async def test_a_form_that_comes_from_elsewhere_does_nothing(
    path: str, changed: dict[str, str]
) -> None:
    async with signed_in() as visitor:
        office = visitor.office
        await office.ask("POST", "/api/serviceaccounts", {"subject": "alice", "status": "active"})
        await visitor.get("/console/")
        fields = {"realm": "corp", "subject": "alice", "credential": SECRET}

        answer = await visitor.post(path, fields, follow=False, **changed)

        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
        assert office.refusals == [AdminRefusal.CROSS_SITE]
        assert [each.action for each in office.world.observer.audits] == ["create"]


@pytest.mark.parametrize("token", ["", "wrong", "another session's"])
async def test_a_form_without_its_sessions_token_does_nothing(token: str) -> None:
    async with signed_in() as visitor:
        office = visitor.office
        await office.ask("POST", "/api/serviceaccounts", {"subject": "alice", "status": "active"})
        visitor.csrf = token

        for path in ("/console/account/disable", "/console/sign-out"):
            answer = await visitor.post(path, {"realm": "corp", "subject": "alice"}, follow=False)
            assert answer.status == 403
        assert [each.action for each in office.world.observer.audits] == ["create"]
        assert (await visitor.get("/console/", follow=False)).status == 200


@pytest.mark.parametrize(
    ("media", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"x" * 70_000, 413),
        ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 20), 400),
        ("application/x-www-form-urlencoded", b"\xff\xfe=1", 400),
        ("application/x-www-form-urlencoded", b"no field", 400),
    ],
)
async def test_what_is_no_form_is_refused(media: str, body: bytes, status: int) -> None:
    async with visiting() as visitor:
        headers = {"Origin": visitor.office.url, "Content-Type": media}
        url = visitor.office.url + "/console/sign-in"
        async with visitor.http.post(url, data=body, headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example/", "/console/\\evil", "/console/\r\nX: y", "/api/"],
)
async def test_nobody_is_led_elsewhere_after_signing_in(wanted: str) -> None:
    async with visiting() as visitor:
        url = visitor.office.url + "/console/sign-in"
        async with visitor.http.post(
            url,
            params={"next": wanted},
            data={"credential": SECRET},
            headers={"Origin": visitor.office.url},
            allow_redirects=False,
        ) as response:
            assert (response.status, response.headers["Location"]) == (303, "/console/")


async def test_a_path_or_a_method_that_is_none_is_said() -> None:
    async with signed_in() as visitor:
        await visitor.get("/console/")
        assert (await visitor.get("/console/nowhere")).status == 404
        answer = await visitor.get("/console/account/disable")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        answer = await visitor.post("/console/health", {})
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        async with visitor.http.head(visitor.url + "/console/health/events") as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET")
        async with visitor.http.head(visitor.url + "/console/health") as response:
            assert (response.status, await response.read()) == (200, b"")


async def test_a_store_that_does_not_answer_is_said_and_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with signed_in() as visitor:
        visitor.office.store.failure = ValueError("internal detail")
        answer = await visitor.get("/console/account?realm=corp&subject=alice")
        assert answer.status == 500
        assert "internal detail" not in answer.html
    assert "internal detail" in caplog.text


async def test_a_certificate_needs_no_form(tmp_path: Path) -> None:
    found = Authorities(tmp_path)

    async def visit(office: Office, context: ssl.SSLContext) -> None:
        connector = aiohttp.TCPConnector(ssl=context)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as http:
            visitor = Visitor(office, http)
            inside = await visitor.get("/console/", follow=False)
            assert inside.status == 200
            assert "certificate: ops" in inside.page.text
            assert inside.headers["Set-Cookie"].startswith("__Host-sidecar-console=")
            posted = {"subject": "alice", "status": "active"}
            async with http.post(office.url + "/api/serviceaccounts", json=posted) as response:
                assert response.status == 201
            done = await visitor.post(
                "/console/account/disable", {"realm": "corp", "subject": "alice"}
            )
            assert "Disabled." in done.page.text
            out = await visitor.post("/console/sign-out", {})
            assert "Sign in" in out.page.text

    async with Office().listening(found.server) as office:
        await visit(office, found.client(found.known))
        assert [each.actor for each in office.world.observer.audits] == ["certificate: ops"] * 2
        connector = aiohttp.TCPConnector(ssl=found.client(None))
        async with aiohttp.ClientSession(connector=connector) as http:
            answer = await Visitor(office, http).get("/console/", follow=False)
            assert answer.status == 303


async def test_many_at_once_are_each_themselves() -> None:
    async with signed_in() as visitor:
        answers = await asyncio.gather(*(visitor.get(each) for each in PAGES * 5))
        assert {each.status for each in answers} == {200}


async def test_what_pages_load_may_be_kept_as_long_as_it_is_what_was_named() -> None:
    async with visiting() as visitor:
        page = (await visitor.get("/console/sign-in")).page
        named = [each["src"] for each in page.all("script")]
        named += [each["href"] for each in page.all("link")]
        assert len(named) == 3
        for address in named:
            found = await visitor.get(address)
            assert found.status == 200
            assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert found.headers["X-Content-Type-Options"] == "nosniff"
            assert "://" not in found.html.replace("http://www.w3.org/2000/svg", "")
            path = address.partition("?")[0]
            assert (await visitor.get(path)).headers["Cache-Control"] == "no-store"
        assert (await visitor.get("/console/static/nothing.js")).status == 404
        assert (await visitor.get("/console/static/..%2Fpages.py")).status == 404


@given(st.text() | st.text().map("/console/".__add__))
def test_the_way_back_is_always_a_page_of_ours_and_one_line(wanted: str) -> None:
    found = way_back(wanted)

    assert found.startswith("/console/")
    assert found.isascii()
    assert found.isprintable()
    assert "\\" not in found

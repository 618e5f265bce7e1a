"""The page of all accounts."""

import asyncio
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.last_use import LastUse
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import StatusUnavailable
from tests.admin.console.visitor import Read, open_stream, signed_in
from tests.admin.office import Office
from tests.fakes.world import NOW, REALM


def write(office: Office, subject: str, name: str = "", *groups: str, active: bool = True) -> None:
    status = AccountStatus.ACTIVE if active else AccountStatus.INACTIVE
    account = Account("id", subject, name, groups, status, updated_at=NOW - 3600.0)
    office.store.accounts[SubjectKey(REALM, subject)] = account


def links(page: Read) -> list[str]:
    return [each["href"] for each in page.all("a") if "/account?" in each.get("href", "")]


async def test_each_account_is_a_row_with_what_it_is_and_does() -> None:
    office = Office()
    write(office, "robot", "The Robot", "admin", "b", "c", "d", "e")
    write(office, "idle", active=False)
    office.uses = {"idle": LastUse(NOW - 7200.0, 3)}
    with open_stream(office):
        async with signed_in(office) as visitor:
            office.recent.decided(
                office.world.request(),
                office.world.ask("GET", "/api/", token=office.world.sign()),
                0.1,
            )
            page = (await visitor.get("/console/")).page

    words = page.text
    assert "1 to 2 of 2 accounts of the realm corp" in words
    assert "idle inactive 2 h ago 0 0 1 h ago" in words
    assert "robot The Robot active admin b c d and 1 more just now <0.1 1 1 h ago" in words
    assert links(page) == [
        "/console/account?realm=corp&subject=idle",
        "/console/account?realm=corp&subject=robot",
    ]
    assert "2 in all 1 active 1 inactive" in words


async def test_the_list_is_searched_sorted_and_paged_by_links_and_a_form() -> None:
    office = Office()
    for number in range(120):
        write(office, f"robot-{number:03}", active=number % 2 == 0)
    async with signed_in(office) as visitor:
        first = (await visitor.get("/console/?status=active&sort=-subject")).page
        assert "1 to 50 of 60 accounts" in first.text
        assert links(first)[0].endswith("robot-118")
        (following,) = [each["href"] for each in first.all("a") if each.get("rel") == "next"]

        second = (await visitor.get(following)).page

        assert "51 to 60 of 60 accounts" in second.text
        assert links(second)[-1].endswith("robot-000")
        beyond = (await visitor.get("/console/?page=999999")).page
        assert "101 to 120 of 120 accounts" in beyond.text
        found = (await visitor.get("/console/?q=BOT-007")).page
        assert len(links(found)) == 1
        nothing = (await visitor.get("/console/?q=nobody")).page
        assert "No accounts of the realm corp with “ nobody ”" in nothing.text
        (heading,) = [each for each in second.all("th") if "aria-sort" in each]
        assert heading["aria-sort"] == "descending"


async def test_another_realm_is_shown_when_it_is_named_and_none_that_is_not_there() -> None:
    async with signed_in() as visitor:
        write(visitor.office, "robot")
        other = (await visitor.get("/console/?realm=lab")).page
        assert "No accounts of the realm lab" in other.text
        assert (await visitor.get("/console/?realm=nowhere")).status == 404


async def test_the_busiest_come_first_when_that_is_asked_for() -> None:
    office = Office()
    for subject in ("alice", "bob", "robot"):
        write(office, subject)
    office.uses = {"bob": LastUse(NOW - 5.0, 3)}
    with open_stream(office):
        async with signed_in(office) as visitor:
            by_streams = (await visitor.get("/console/?sort=-streams")).page
            by_use = (await visitor.get("/console/?sort=-seen")).page

    assert links(by_streams)[0].endswith("robot")
    assert links(by_use)[0].endswith("bob")


async def test_where_last_use_cannot_be_read_the_list_is_there_without() -> None:
    office = Office()
    write(office, "robot")
    office.use_failure = StatusUnavailable("no rights")
    async with signed_in(office) as visitor:
        page = (await visitor.get("/console/")).page

    assert "cannot be read now" in page.text
    assert "robot active not lately" in page.text


async def test_while_the_store_does_not_answer_that_is_said() -> None:
    async with signed_in() as visitor:
        visitor.office.store.failure = StatusUnavailable("Redis: away")
        visitor.office.world.clock.advance(1)
        answer = await visitor.get("/console/")

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert "the account store does not answer; try again" in answer.page.text


HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe",
    "\x00\x1b[2J\r\n\r\n",
    "javascript:alert(1)",
    "x" * 10_000,
    "\ud800",
)


def elements(page: Read) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(attributes)) for tag, attributes in page.elements]


async def test_whatever_somebody_wrote_into_the_store_is_text_and_nothing_else() -> None:
    office = Office()
    write(office, "0-plain", "plain", "plain")
    for number, text in enumerate(HOSTILE):
        write(office, f"{number + 1}{text}", text, text)
    async with signed_in(office) as visitor:
        answer = await visitor.get("/console/")

    assert answer.status == 200
    assert [each for each in answer.page.all("script") if not each.get("src")] == []
    assert {each["src"].partition("?")[0] for each in answer.page.all("img")} == {
        "/console/static/mark.svg"
    }
    # Only what a token can have as its subject leads anywhere.
    assert links(answer.page) == [
        "/console/account?realm=corp&subject=0-plain",
        "/console/account?realm=corp&subject=1%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
        "/console/account?realm=corp&subject=6javascript%3Aalert%281%29",
    ]
    assert "\u202e" not in answer.html
    assert "\x1b" not in answer.html
    assert "\\u202egnp.exe" in answer.page.text
    assert "49" not in answer.page.text
    assert len(answer.html) < 40_000


name = st.text(st.characters(), max_size=30)


@given(st.tuples(name.filter(bool), name, name))
@settings(max_examples=20, deadline=None)
def test_no_name_makes_an_element(written: tuple[str, str, str]) -> None:
    subject, title, group = written

    async def show() -> None:
        office = Office()
        write(office, "0", "n", "g")
        async with signed_in(office) as visitor:
            plain = (await visitor.get("/console/")).page
            office.store.accounts.clear()
            office.world.clock.advance(1)
            write(office, "0" + subject, "n" + title, "g" + group)
            page = (await visitor.get("/console/")).page
        tags = [tag for tag, _ in page.elements if tag not in ("a", "bdi", "span")]
        assert tags == [tag for tag, _ in plain.elements if tag not in ("a", "bdi", "span")]

    asyncio.run(show())


@pytest.mark.parametrize("realm", HOSTILE[:-1])
async def test_what_is_asked_for_is_text_too(realm: str) -> None:
    async with signed_in() as visitor:
        await visitor.get("/console/")
        plain = await visitor.get("/console/decisions?" + urlencode({"subject": "x", "realm": "y"}))
        answer = await visitor.get(
            "/console/decisions?" + urlencode({"subject": realm[:200], "realm": realm[:200]})
        )
        assert elements(answer.page) == elements(plain.page)
        searched = await visitor.get("/console/?" + urlencode({"q": realm[:200]}))
        assert [each for each in searched.page.all("script") if not each.get("src")] == []


async def test_a_hundred_thousand_accounts_are_a_page_of_fifty_and_listed_once() -> None:
    office = Office()
    for number in range(100_000):
        write(office, f"robot-{number:06}")
    async with signed_in(office) as visitor:
        answers = [await visitor.get(f"/console/?sort=-rate&page={each}") for each in (1, 2, 2000)]

    assert [len(links(each.page)) for each in answers] == [50, 50, 50]
    assert all(len(each.html) < 100_000 for each in answers)
    assert "99,951 to 100,000 of 100,000 accounts" in answers[-1].page.text

"""Changes of the gateway's accounts that pass by: stored before the caller has the answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from sidecar.account_mirror import AccountMirror, MirrorRules
from sidecar.core.routes import Route
from sidecar.core.subject import AccountStatus, SubjectKey
from sidecar.ports import StatusUnavailable
from sidecar.service_accounts import ServiceAccounts
from tests.fakes.front import Front, read_all, running_front, status_of
from tests.fakes.store import FakeAccountStore
from tests.fakes.upstream import Conversation, ScriptedUpstream, Talk, scripted_upstream
from tests.fakes.waiting import until
from tests.fakes.world import World

API_USER = SubjectKey("default", "api-user")
PATH = "/api/serviceaccounts"
PUT = f"PUT {PATH}/api-user HTTP/1.1"
POST = f"POST {PATH} HTTP/1.1"
OUT = b'{"subject": "api-user",\t"status": "inactive"}'
IN = b'{"subject": "api-user", "status": "active"}'


def said(status: int, body: bytes, *fields: bytes) -> bytes:
    head = b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\nX-Kept: 1\r\n" % (status, len(body))
    return head + b"".join(each + b"\r\n" for each in fields) + b"\r\n" + body


@dataclass
class Scene:
    front: Front
    store: FakeAccountStore
    upstream: ScriptedUpstream
    accounts: Callable[[str], ServiceAccounts]

    async def ask(self, line: str, body: bytes, *fields: bytes) -> bytes:
        length = b"Content-Length: %d" % len(body)
        return await self.front.ask(line, length, *fields, body=body)

    @property
    def status(self) -> AccountStatus:
        return self.store.accounts[API_USER].status


@asynccontextmanager
async def scene(talk: Talk, *groups: str, shadow: bool = False) -> AsyncIterator[Scene]:
    world = World(routes=(Route("all", "/api/**", shadow=shadow),))
    store = FakeAccountStore()
    world.enroll("robot", *(groups or ("admin",)))

    def accounts(actor: str) -> ServiceAccounts:
        return ServiceAccounts(store, world.clock, world.observer, actor=actor)

    await accounts("cli").create(API_USER, groups=("ops",))
    mirror = AccountMirror(accounts, MirrorRules())
    async with (
        scripted_upstream(talk) as upstream,
        running_front(upstream.url, world=world, mirror=mirror) as front,
    ):
        yield Scene(front, store, upstream, accounts)


async def read_body(conversation: Conversation) -> bytes:
    return await conversation.read(int(conversation.values("Content-Length")[0]))


async def test_a_disabling_is_stored_before_the_gateway_has_it() -> None:
    seen: list[AccountStatus] = []

    async def talk(conversation: Conversation) -> None:
        seen.append(found.status)
        await conversation.say(said(200, await read_body(conversation)))

    async with scene(talk) as found:
        answer = await found.ask(PUT, OUT)

        assert seen == [AccountStatus.INACTIVE]
        assert answer.startswith(b"HTTP/1.1 200 Whatever\r\n")
        assert b"X-Kept: 1" in answer
        assert answer.endswith(b"\r\n\r\n" + OUT)
        assert bytes(found.upstream.last.received) == OUT
        assert found.status is AccountStatus.INACTIVE


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Connection: close"])
async def test_an_account_is_stored_before_its_maker_has_the_answer(framing: bytes) -> None:
    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        body = b'{"subject": "new", "status": "active", "groups": null, "name": "N"}'
        if framing.startswith(b"Connection"):
            await conversation.say(b"HTTP/1.1 201 Created\r\n" + framing + b"\r\n\r\n" + body)
            conversation.writer.close()
        else:
            await conversation.say(
                b"HTTP/1.1 201 Created\r\n" + framing + b"\r\n\r\n"
                b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            )

    async with scene(talk) as found:
        wanted = IN.replace(b"api-user", b"new")
        answer = await found.ask(POST, wanted, b"Accept-Encoding: gzip")

        assert status_of(answer) == 201
        assert found.store.accounts[SubjectKey("default", "new")].name == "N"
        assert found.upstream.last.values("Accept-Encoding") == []


async def test_a_body_in_chunks_goes_on_whole() -> None:
    async def talk(conversation: Conversation) -> None:
        chunked = await conversation.reader.readuntil(b"0\r\n\r\n")
        assert OUT in chunked
        await conversation.say(said(200, OUT))

    async with scene(talk) as found:
        chunks = b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (OUT[:5], len(OUT) - 5, OUT[5:])
        answer = await found.front.ask(PUT, b"Transfer-Encoding: chunked", body=chunks)

        assert status_of(answer) == 200
        assert found.status is AccountStatus.INACTIVE


async def test_a_refused_disabling_is_taken_back() -> None:
    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        await conversation.say(said(409, b'{"message":"resource already exists"}'))

    async with scene(talk) as found:
        answer = await found.ask(POST, OUT)

        assert status_of(answer) == 409
        assert answer.endswith(b'{"message":"resource already exists"}')
        assert found.status is AccountStatus.ACTIVE


async def test_a_gateway_that_breaks_off_leaves_who_was_shut_out_so() -> None:
    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        conversation.abort()

    async with scene(talk) as found:
        answer = await found.ask(PUT, OUT)

        assert status_of(answer) == 502
        assert found.status is AccountStatus.INACTIVE


async def test_whoever_is_no_admin_shuts_nobody_out_by_asking() -> None:
    seen: list[AccountStatus] = []

    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        seen.append(found.status)
        await conversation.say(said(403, b'{"message":"access denied"}'))

    async with scene(talk, "ops") as found:
        assert status_of(await found.ask(PUT, OUT)) == 403
        assert seen == [AccountStatus.ACTIVE]


async def test_a_store_that_is_down_keeps_the_gateway_from_being_asked() -> None:
    async def talk(conversation: Conversation) -> None:
        raise AssertionError(conversation.request_line)

    async with scene(talk) as found:
        found.store.failure = StatusUnavailable("down")
        answer = await found.ask(PUT, OUT)

        assert status_of(answer) == 503
        assert b"Retry-After: 1" in answer
        assert b"the gateway was not asked" in answer
        assert found.upstream.conversations == []


async def test_a_store_that_fails_afterwards_is_told_of() -> None:
    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        found.store.failure = StatusUnavailable("down")
        await conversation.say(said(201, IN))

    async with scene(talk) as found:
        answer = await found.ask(POST, IN)
        message = json.loads(answer.partition(b"\r\n\r\n")[2])

        assert status_of(answer) == 503
        assert message["error"] == "account_not_stored"
        assert "--overwrite" in message["message"]


async def test_what_the_gateway_did_is_stored_though_the_caller_has_gone() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        asked.set()
        await go_on.wait()
        await conversation.say(said(200, OUT))

    async with scene(talk, "ops") as found:
        _, writer = await asyncio.open_connection(*found.front.address)
        length = b"Content-Length: %d" % len(OUT)
        writer.write(found.front.request(PUT, length, body=OUT))
        await asked.wait()
        writer.transport.abort()
        go_on.set()

        await until(lambda: found.status is AccountStatus.INACTIVE)


async def test_an_admin_is_disabled_who_has_itself_enabled_all_the_time() -> None:
    """The gateway agreed to what was asked before: it must not undo what came after."""

    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        await found.accounts("cli").disable(API_USER)
        await conversation.say(said(200, IN))

    async with scene(talk) as found:
        answer = await found.ask(PUT, IN)

        assert status_of(answer) == 503
        assert b"others changed the account here meanwhile" in answer
        assert found.status is AccountStatus.INACTIVE


async def test_what_the_gateway_did_is_stored_though_the_caller_was_cut() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        asked.set()
        await go_on.wait()
        await conversation.say(said(200, OUT))

    async with scene(talk, "ops") as found:
        reader, writer = await asyncio.open_connection(*found.front.address)
        length = b"Content-Length: %d" % len(OUT)
        writer.write(found.front.request(PUT, length, body=OUT))
        await asked.wait()
        assert found.front.cut() == 1
        assert status_of(await read_all(reader)) == 401
        go_on.set()

        await until(lambda: found.status is AccountStatus.INACTIVE)
        writer.close()


async def test_a_body_that_is_no_accounts_is_refused() -> None:
    async def talk(conversation: Conversation) -> None:
        raise AssertionError(conversation.request_line)

    async with scene(talk) as found:
        assert status_of(await found.ask(PUT, b" " * 65_537)) == 413
        assert found.upstream.conversations == []


async def test_an_endless_answer_is_given_up() -> None:
    async def talk(conversation: Conversation) -> None:
        await read_body(conversation)
        await conversation.say(said(200, b" " * 1_100_000))

    async with scene(talk) as found:
        assert status_of(await found.ask(PUT, OUT)) == 502
        assert found.status is AccountStatus.INACTIVE


async def test_all_other_requests_pass_as_ever() -> None:
    async with scene(answer) as found:
        for line in (f"GET {PATH} HTTP/1.1", f"POST {PATH}/x HTTP/1.1"):
            assert status_of(await found.ask(line, b"")) == 200
        assert found.status is AccountStatus.ACTIVE


async def answer(conversation: Conversation) -> None:
    await conversation.say(said(200, b"ok"))


async def test_a_request_without_a_body_is_the_gateways_to_refuse() -> None:
    async def talk(conversation: Conversation) -> None:
        assert conversation.values("Transfer-Encoding") == []
        await conversation.say(said(400, b'{"message":"EOF"}'))

    async with scene(talk) as found:
        assert status_of(await found.front.ask(PUT)) == 400


@pytest.mark.parametrize("body", [OUT, IN])
async def test_what_passes_in_shadow_changes_no_account_of_ours(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway may agree to it; nobody that we know has asked."""

    async def talk(conversation: Conversation) -> None:
        await conversation.say(said(200, await read_body(conversation)))

    async with scene(talk, shadow=True) as found:
        before = dict(found.store.accounts)
        found.front.world.disable("robot")
        answer = await found.ask(PUT, body)

        assert status_of(answer) == 200
        assert found.store.accounts == before
    assert "passes in shadow and is not followed" in caplog.text


async def test_a_change_by_a_good_caller_is_followed_on_a_route_in_shadow() -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.say(said(200, await read_body(conversation)))

    async with scene(talk, shadow=True) as found:
        assert status_of(await found.ask(PUT, OUT)) == 200
        assert found.status is AccountStatus.INACTIVE

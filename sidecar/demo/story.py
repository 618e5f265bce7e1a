"""The story of a service account: it gets a token, is let in, is shut out. Every step is real."""

import asyncio
import json
import shlex
import signal
from collections.abc import Awaitable, Callable

import aiohttp
from rich.console import Console

from sidecar.core.subject import SubjectKey
from sidecar.demo.redis_program import RedisNotFound, find_server
from sidecar.demo.redis_server import RedisNotReady
from sidecar.demo.site import CLIENT_ID, CLIENT_SECRET, GROUPS, NAME, Site, running_site
from sidecar.ports import AuditRecord
from sidecar.service_accounts import ServiceAccounts

KEY = SubjectKey("default", CLIENT_ID)
_PATIENCE_SECONDS = 10.0


class _WentWrong(Exception):
    """A step did not do what it should; the message says what was seen."""


class Teller:
    """Says aloud what happens, and what was seen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0

    def step(self, text: str) -> None:
        self._step += 1
        self._console.print(f"\n[bold]{self._step}. {text}[/bold]")

    def saw(self, text: str) -> None:
        self._console.print(f"   [green]✓[/green] {text}", highlight=False)

    def say(self, text: str = "") -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def failed(self, text: str) -> None:
        self._console.print(f"   [red]✗ {text}[/red]", highlight=False)


def main(
    *,
    once: bool,
    teller: Teller | None = None,
    check: Callable[[], object] = find_server,
) -> int:
    """Tell the story; then stay up until interrupted, unless ``once``. Return the exit code.

    ``check`` raises RedisNotFound where there is no Redis-compatible server to start.
    """
    teller = teller or Teller(Console())
    try:
        check()
        return asyncio.run(_tell(teller, once=once))
    except (RedisNotFound, RedisNotReady) as problem:
        teller.failed(str(problem))
        return 1


async def _tell(teller: Teller, *, once: bool) -> int:
    teller.say("Starting an identity provider, Redis, a gateway and the sidecar, on loopback.")
    async with running_site() as site:
        try:
            async with asyncio.timeout(60):
                await site.sidecar.ready()
                token = await _walk(site, teller)
        except (_WentWrong, TimeoutError, aiohttp.ClientError) as problem:
            teller.failed(str(problem) or type(problem).__name__)
            return 1
        if not once:
            _hand_over(site, teller, token)
            await _interrupted()
    return 0


async def _walk(site: Site, teller: Teller) -> str:
    accounts = ServiceAccounts(site.store, site.clock, _Unheard(), actor="demo")
    token = await _get_token(site, teller)

    teller.step("The program calls the gateway, through the sidecar, and has no account yet")
    await _expect(site, token, 401)
    teller.saw("401 access denied: a good token alone lets nobody in")

    teller.step(f"An operator creates the account, with the groups {','.join(GROUPS)}")
    await accounts.create(KEY, name=NAME, groups=GROUPS)
    teller.saw(f"sidecar account create {CLIENT_ID} --groups {','.join(GROUPS)}")

    teller.step("The program calls again")
    user = await _expect(site, token, 200)
    teller.saw("200, and the gateway knows who it is:")
    teller.say("     " + json.dumps({name: user[name] for name in ("id", "name", "groups")}))

    teller.step("It opens two streams: server-sent events and a WebSocket")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        site.http.get(site.sidecar.url + "/api/sessions/1/stream", headers=headers) as events,
        site.http.ws_connect(site.sidecar.url + "/api/demo/ws", headers=headers) as websocket,
    ):
        teller.saw(f"the event stream begins: {(await events.content.readline()).decode().strip()}")
        await websocket.receive()
        teller.saw("the WebSocket ticks")
        await _shut_out(site, teller, accounts, token, events, websocket)

    teller.step("The account is enabled again")
    await accounts.enable(KEY)
    await _expect(site, token, 200)
    teller.saw("200: the same token is good again")
    return token


async def _get_token(site: Site, teller: Teller) -> str:
    teller.step("A program gets an access token by the client-credentials grant")
    async with site.http.post(
        site.identity_provider.token_url,
        data={"grant_type": "client_credentials"},
        headers={"Authorization": aiohttp.encode_basic_auth(CLIENT_ID, CLIENT_SECRET)},
    ) as response:
        answer = await response.json()
        if response.status != 200:
            raise _WentWrong(f"the identity provider answered {response.status}: {answer}")
    teller.saw(f"a {answer['token_type']} token, good for {answer['expires_in']} s")
    return str(answer["access_token"])


async def _shut_out(
    site: Site,
    teller: Teller,
    accounts: ServiceAccounts,
    token: str,
    events: aiohttp.ClientResponse,
    websocket: aiohttp.ClientWebSocketResponse,
) -> None:
    teller.step("The operator disables the account while both streams are open")
    began = site.clock.steady()

    async def timed(happening: Callable[[], Awaitable[None]]) -> float:
        await happening()
        return (site.clock.steady() - began) * 1000

    async with asyncio.timeout(_PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        times = [
            tasks.create_task(timed(each))
            for each in (
                lambda: _refused(site, token),
                lambda: _events_cut(events),
                lambda: _websocket_cut(websocket),
            )
        ]
        written = tasks.create_task(timed(lambda: _disable(accounts)))
    refused, events_cut, websocket_cut = (task.result() for task in times)
    teller.saw(f"written to Redis after {written.result():.1f} ms (counted from the command)")
    teller.saw(f"the next request is refused: 401 after {refused:.1f} ms")
    teller.saw(f"the event stream is cut after {events_cut:.1f} ms")
    teller.saw(f"the WebSocket is closed (1008) after {websocket_cut:.1f} ms")


async def _disable(accounts: ServiceAccounts) -> None:
    await accounts.disable(KEY)


async def _refused(site: Site, token: str) -> None:
    while await _status(site, token) != 401:
        pass


async def _events_cut(events: aiohttp.ClientResponse) -> None:
    try:
        async for _ in events.content:
            pass
    except aiohttp.ClientError:
        return
    raise _WentWrong("the event stream ended as if it were complete")


async def _websocket_cut(websocket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in websocket:
        pass
    if websocket.close_code != 1008:
        raise _WentWrong(f"the WebSocket closed with {websocket.close_code}, not 1008")


async def _status(site: Site, token: str) -> int:
    async with site.http.get(
        site.sidecar.url + "/api/userinfo", headers={"Authorization": f"Bearer {token}"}
    ) as response:
        await response.read()
        return response.status


async def _expect(site: Site, token: str, status: int) -> dict[str, object]:
    async with site.http.get(
        site.sidecar.url + "/api/userinfo", headers={"Authorization": f"Bearer {token}"}
    ) as response:
        body: dict[str, object] = await response.json()
        if response.status != status:
            raise _WentWrong(f"expected {status} and got {response.status}: {body}")
        return body


def _hand_over(site: Site, teller: Teller, token: str) -> None:
    teller.say("\n[bold]Everything stays up. Try it by hand, in another terminal:[/bold]\n")
    teller.say(f"  export SIDECAR_CONFIG={shlex.quote(str(site.settings_file))}")
    teller.say(f"  URL={site.sidecar.url} ADMIN={site.sidecar.admin_url}")
    teller.say(f"  TOKEN_URL={site.identity_provider.token_url} CLIENT={CLIENT_ID}:{CLIENT_SECRET}")
    teller.say(f"  TOKEN={token}")
    teller.say()
    teller.say('  curl -i -H "Authorization: Bearer $TOKEN" $URL/api/userinfo')
    teller.say('  curl -N -H "Authorization: Bearer $TOKEN" $URL/api/sessions/1/stream')
    teller.say(f"  .venv/bin/python -m sidecar account disable {CLIENT_ID}")
    teller.say("  .venv/bin/python -m sidecar account list")
    teller.say('  .venv/bin/python -m sidecar explain "GET /api/userinfo" --token "$TOKEN"')
    teller.say("  curl -s $ADMIN/readyz")
    teller.say("  curl -s $ADMIN/metrics")
    teller.say(
        '  curl -s -u "$CLIENT" -d grant_type=client_credentials $TOKEN_URL    # another token'
    )
    teller.say("\n[bold]Or look at it in a browser:[/bold]\n")
    teller.say(f"  {site.sidecar.admin_url}/console/    (sign in with {site.admin_secret})")
    teller.say("\nCtrl-C ends it.")


async def _interrupted() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


class _Unheard:
    """The demo's own changes are told by the story, not logged."""

    def audited(self, record: AuditRecord) -> None:
        del record

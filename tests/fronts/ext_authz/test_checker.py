"""The check: the same decision as at every door, in time, and never a grant by accident."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest
from typing_extensions import override

from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Deny
from sidecar.core.request import AccessRequest
from sidecar.fronts.ext_authz.checker import Checker, Parts
from sidecar.fronts.ext_authz.fields import FieldRules
from sidecar.turns import Bounds
from sidecar.wanted import Wanted
from tests.fakes.build import overrides
from tests.fakes.checks import Door, FakeCaller, check_of, read_answer
from tests.fakes.front import IDENTITY
from tests.fakes.turning import HeldLoop, busy, world_with
from tests.fakes.waiting import until
from tests.fakes.world import ROUTES, World


@pytest.mark.parametrize("raw", [True, False])
async def test_a_good_token_passes_with_its_identity(raw: bool) -> None:  # noqa: FBT001
    door = Door()
    told = await door.ask(("X-Auth-Subject", "root"), ("x_auth_name", "Root"), raw=raw)

    assert told.status == 200
    assert told.set["x-auth-subject"] == "robot"
    assert told.removed == ["x_auth_name"]
    assert door.reasons() == [""]


async def test_the_request_id_is_the_one_that_is_logged() -> None:
    door = Door()
    told = await door.ask()

    asked, _, _ = door.world.observer.decisions[0]
    assert told.set["x-request-id"] == asked.request_id


async def test_what_is_not_granted_is_refused_with_its_reason() -> None:
    door = Door()
    told = await door.send(check_of())

    assert told.status == 401
    assert told.client["WWW-Authenticate"] == 'Bearer realm="sidecar"'
    assert door.reasons() == ["no_credentials"]
    assert [status for _, status, _ in door.world.observer.answers] == [401]


async def test_an_account_that_is_disabled_is_refused_at_the_very_next_check() -> None:
    door = Door()
    assert (await door.ask()).status == 200
    door.world.disable("robot")
    assert (await door.ask()).status == 401
    door.world.enroll("robot")
    assert (await door.ask()).status == 200


async def test_an_open_route_asks_for_nothing_and_tells_nothing() -> None:
    told = await Door().send(check_of(("X-Auth-Subject", "root"), target="/health"))

    assert told.status == 200
    assert told.set["x-auth-subject"] == ""


async def test_what_cannot_be_read_is_refused_and_observed() -> None:
    door = Door()
    told = await door.send(b"\xff")

    assert told.status == 400
    assert door.reasons() == ["malformed_request"]


async def test_an_account_that_is_not_at_hand_is_waited_for() -> None:
    door = Door()
    door.world.enroll("robot", at_hand=False)

    assert (await door.ask()).status == 200


async def test_a_check_is_refused_before_envoy_gives_up() -> None:
    door = Door()
    door.world.enroll("robot", at_hand=False)
    door.world.accounts.held = asyncio.Event()
    message = check_of(("authorization", f"Bearer {door.world.sign()}"))

    told = await door.send(message, FakeCaller(0.05))

    assert (told.status, told.client["Retry-After"]) == (503, "1")
    assert door.reasons() == ["status_unavailable"]


async def test_a_check_that_envoy_gave_up_is_in_the_log_all_the_same() -> None:
    door = Door()
    door.world.enroll("robot", at_hand=False)
    door.world.accounts.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(door.ask())
        await until(lambda: door.world.accounts.reads)
        task.cancel()

    assert task.cancelled()
    assert door.reasons() == ["status_unavailable"]
    assert [status for _, status, _ in door.world.observer.answers] == [499]


async def test_more_checks_than_may_wait_are_refused_and_others_still_pass() -> None:
    door = Door(max_concurrent=1)
    door.world.enroll("robot", at_hand=False)
    door.world.accounts.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(door.ask())
        await until(lambda: door.world.accounts.reads)
        other = door.world.sign(sub="other")
        told = await door.send(check_of(("authorization", f"Bearer {other}")))
        at_hand = await door.send(check_of(target="/health"))
        door.world.accounts.held.set()

    assert told.status == 503
    assert at_hand.status == 200
    assert (await waiting).status == 200
    assert (await door.ask()).status == 200


def flooded(loop: HeldLoop) -> World:
    """Return a world in which what this turn of the loop may verify is used up."""
    return world_with(lambda world: busy(loop, world.clock, Bounds(seconds=1.0)))


async def test_who_waits_to_be_verified_takes_no_place_of_those_who_wait_for_accounts() -> None:
    """Turns have room of their own, for each peer: bad tokens of one must not shut others out."""
    loop = HeldLoop()
    door = Door(flooded(loop), max_concurrent=1)
    turns = door.world.rules["admission"].turns
    door.world.enroll("robot", at_hand=False)
    async with asyncio.TaskGroup() as tasks:
        flood = [
            tasks.create_task(door.send(check_of(("authorization", f"Bearer a.b.{number}"))))
            for number in range(3)
        ]
        good = tasks.create_task(door.ask())
        await until(lambda: len(turns) == 4)
        loop.run_out()

    assert [(await each).status for each in flood] == [401, 401, 401]
    assert (await good).status == 200


async def test_a_check_that_envoy_gave_up_leaves_no_turn_behind() -> None:
    door = Door(flooded(HeldLoop()))
    turns = door.world.rules["admission"].turns
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(door.ask())
        await until(lambda: len(turns) == 1)
        task.cancel()

    assert len(turns) == 0
    told = await door.send(
        check_of(("authorization", f"Bearer {door.world.sign()}")), FakeCaller(0.05)
    )
    assert told.status == 503
    assert len(turns) == 0


async def test_a_check_that_finds_no_room_to_wait_for_its_turn_is_refused() -> None:
    world = world_with(lambda world: busy(HeldLoop(), world.clock, Bounds(most=0)))
    door = Door(world)

    assert (await door.ask()).status == 503
    assert door.reasons() == ["overloaded"]


async def test_a_tunnel_opens_on_a_route_for_it_only() -> None:
    door = Door()
    assert (await door.ask(("upgrade", "websocket"), target="/watch")).status == 200
    assert (await door.ask(("upgrade", "h2c"), target="/watch")).status == 403
    assert (await door.ask(("upgrade", "websocket"))).status == 403
    assert door.reasons()[-1] == "no_route"


async def test_a_credential_that_is_not_ascii_is_refused_on_an_open_route() -> None:
    told = await Door().send(check_of(("authorization", b"Basic \xff"), target="/health"))

    assert told.status == 400


def fail(*_: object) -> NoReturn:
    raise RuntimeError("a bug")


class BrokenAuthorizer(Authorizer):
    """Fails where the decision never does."""

    def __init__(self, failing: Callable[..., Any]) -> None:
        self._failing = failing

    @override
    def decide_now(self, request: AccessRequest) -> Decision | Wanted:
        failure: Decision | Wanted = self._failing(request)
        return failure


@overrides
async def test_a_bug_is_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    parts = Parts(BrokenAuthorizer(fail), FieldRules(IDENTITY), world.clock, world.observer)

    told = read_answer(await Checker(parts).check(check_of(), FakeCaller()))

    assert told.status == 500
    assert "a bug" not in told.body
    assert "the request is denied" in caplog.text
    _, decision, _ = world.observer.decisions[0]
    assert isinstance(decision, Deny)
    assert decision.reason == "internal_error"


async def test_what_is_in_shadow_passes_before_envoy_gives_up() -> None:
    """An answer that comes too late would be Envoy's own refusal."""
    world = World(routes=[replace(each, shadow=True) for each in ROUTES])
    door = Door(world)
    world.enroll("robot", at_hand=False)
    world.accounts.held = asyncio.Event()
    message = check_of(("Authorization", f"Bearer {world.sign()}"))
    told = await door.send(message, FakeCaller(0.05))

    assert told.status == 200
    assert told.set["x-auth-subject"] == ""
    assert door.reasons() == [""]

"""A token's status in THE decision: looked up for each request, fetched when it is not at hand."""

from typing import Any

import pytest

from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.issuer import Issuer, StatusListRules
from sidecar.core.status_list import StatusList
from sidecar.decision_services import DecisionServices
from sidecar.status_lists import StatusListUnavailable
from tests.fakes.status_lists import URI, statuses
from tests.fakes.world import AUDIENCE, ISSUER, REALM, World


def listed(values: list[int], **rules: Any) -> World:
    """Return a world whose issuer has a list with these statuses."""
    found = StatusListRules(frozenset({"https://idp.example/statuslists/"}), **rules)
    issuer = Issuer(ISSUER, REALM, frozenset({"RS256"}), frozenset({AUDIENCE}), status_list=found)
    world = World(issuers=(issuer,))
    world.status_lists.stored[ISSUER, URI] = StatusList(2, statuses(values, 2))
    return world


def token(world: World, place: int) -> str:
    return world.sign(status={"status_list": {"uri": URI, "idx": place}})


def reason_of(decision: Decision) -> DenyReason:
    assert isinstance(decision, Deny)
    return decision.reason


async def test_a_valid_token_gets_in_and_the_list_is_fetched_once() -> None:
    world = listed([0, 0])
    for place in (0, 1, 0):
        assert isinstance(await world.wait_for("GET", "/reports", token=token(world, place)), Grant)

    assert world.status_lists.reads == [(ISSUER, URI)]
    assert isinstance(world.ask("GET", "/reports", token=token(world, 0)), Grant)


@pytest.mark.parametrize("status", [1, 2, 3])
async def test_one_that_is_not_valid_any_more_is_refused(status: int) -> None:
    world = listed([0, status])

    decision = await world.wait_for("GET", "/reports", token=token(world, 1))

    assert reason_of(decision) is DenyReason.TOKEN_REVOKED


async def test_a_status_that_turns_is_seen_by_the_next_request_of_the_same_connection() -> None:
    world = listed([0])
    presented = token(world, 0)
    assert isinstance(await world.wait_for("GET", "/reports", token=presented), Grant)
    world.status_lists.at_hand[ISSUER, URI] = StatusList(2, statuses([1], 2))

    assert reason_of(world.ask("GET", "/reports", token=presented)) is DenyReason.TOKEN_REVOKED


async def test_while_the_list_cannot_be_had_it_is_503() -> None:
    world = listed([0])
    world.status_lists.stored.clear()

    decision = await world.wait_for("GET", "/reports", token=token(world, 0))

    assert reason_of(decision) is DenyReason.STATUS_LIST_UNAVAILABLE
    assert DenyReason.STATUS_LIST_UNAVAILABLE.http_status == 503


async def test_a_place_beyond_the_list_is_refused() -> None:
    world = listed([0])

    decision = await world.wait_for("GET", "/reports", token=token(world, 99))

    assert reason_of(decision) is DenyReason.CLAIMS_REFUSED


async def test_a_token_without_a_status_passes_unless_one_is_required() -> None:
    world = listed([0])
    assert isinstance(world.ask("GET", "/reports", token=world.sign()), Grant)

    world = listed([0], required=True)
    assert reason_of(world.ask("GET", "/reports", token=world.sign())) is DenyReason.CLAIMS_REFUSED


async def test_a_forged_token_causes_no_fetch() -> None:
    world = listed([0])
    await world.wait_for("GET", "/reports", token=token(world, 0)[:-8] + "AAAAAAAA")

    assert world.status_lists.reads == []


async def test_without_services_nobody_is_asked() -> None:
    lists = DecisionServices().status_lists

    assert lists.look_up(ISSUER, URI) is None
    with pytest.raises(StatusListUnavailable):
        await lists.read(ISSUER, URI)

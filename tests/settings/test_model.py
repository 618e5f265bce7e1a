"""The settings as a whole: what depends on several of them, and what the parts get."""

import os
from typing import Any

import pytest

from sidecar.core.identity_headers import FIELDS
from sidecar.core.request import Ambiguity
from tests.settings.desk import GOOD, Desk, changed, issuer

MEMORY = {"url": "memory://"}


def headers(**names: str | None) -> dict[str, Any]:
    return changed(identity_headers=names)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (changed(preset=None), "nothing would pass: name routes, or set preset: hoop"),
        (changed(preset="hop"), "'hoop'"),
        (changed(preset_prefix="/x/"), "such as /x, without a slash at its end"),
        (changed(preset_prefix="x"), "such as /x, without a slash at its end"),
        (changed(preset_prefix="/../x"), "such as /x, without a slash at its end"),
        (changed(preset_prefix="/{id}"), "such as /x, without a slash at its end"),
        (changed(accounts=MEMORY, workers=2), "set workers: 1"),
        (changed(accounts=MEMORY, workers="auto"), "set workers: 1"),
        (changed(workers=0), 'expected 1 to 64, or "auto" for one per core'),
        (changed(workers=65), 'expected 1 to 64, or "auto" for one per core'),
        (changed(workers="many"), 'expected 1 to 64, or "auto" for one per core'),
        (changed(workers=True), 'expected 1 to 64, or "auto" for one per core'),
        (changed(workers=1.5), 'expected 1 to 64, or "auto" for one per core'),
        (headers(shoe="X-Shoe"), "none of subject"),
        (headers(subject="Host"), "meaning of its own; choose another name"),
        (headers(subject="authorization"), "meaning of its own"),
        (headers(subject="Cookie"), "meaning of its own"),
        (headers(subject="Content-Length"), "meaning of its own"),
        (headers(subject="Proxy-Authorization"), "meaning of its own"),
        (headers(subject="Transfer_Encoding"), "meaning of its own"),
        (headers(subject="X-Forwarded-User"), "meaning of its own"),
        (headers(subject="a b"), "no header name"),
        (headers(subject=""), "no header name"),
        (headers(subject="X-\u00e4"), "no header name"),
        (headers(subject="x_auth.groups"), "two fields have the same header"),
        (headers(subject="Api-Key"), "'Api-Key' is sent empty and is an identity header"),
        (changed(cleared_headers=["Connection"]), "meaning of its own"),
        (changed(cleared_headers=["X_Auth_Subject"]), "sent empty and is an identity header"),
        (changed(tolerate=["dots"]), "'encoded_slash', 'double_slash' or 'semicolon'"),
        (changed(tolerate="semicolon"), "expected a list of strings"),
        (changed(nonsense=1), "): is no setting"),
        (changed(upstream="http://a"), "expected a mapping of names to values"),
        (changed(issuers="https://a"), "expected a list"),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_remedy(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_each_field_of_the_identity_has_a_header(desk: Desk) -> None:
    assert desk.load(GOOD).identity().names == {
        "subject": "X-Auth-Subject",
        "issuer": "X-Auth-Issuer",
        "name": "X-Auth-Name",
        "groups": "X-Auth-Groups",
        "scopes": "X-Auth-Scopes",
        "client_id": "X-Auth-Client-Id",
        "kind": "X-Auth-Kind",
        "request_id": "X-Request-Id",
    }
    assert set(FIELDS) == {*desk.load(GOOD).identity().names, "assertion"}


def test_a_field_can_be_left_out_and_another_be_renamed(desk: Desk) -> None:
    names = desk.load(headers(subject=None, groups="X-Groups")).identity().names

    assert "subject" not in names
    assert names["groups"] == "X-Groups"


def test_the_preset_clears_the_key_that_overrides_a_bearer(desk: Desk) -> None:
    assert desk.load(GOOD).identity().cleared == ("Api-Key",)
    more = changed(cleared_headers=["X-Role", "api_key"])
    assert len(desk.load(more).identity().cleared) == 2
    assert desk.load(more).identity().is_protected("API-KEY")
    without = changed(preset=None, routes=[{"name": "a", "path": "/a"}])
    assert desk.load(without).identity().cleared == ()


def test_nothing_ambiguous_is_tolerated_unless_told(desk: Desk) -> None:
    assert desk.load(GOOD).tolerated() == frozenset()
    told = desk.load(changed(tolerate=["semicolon"]))
    assert told.tolerated() == frozenset({Ambiguity.SEMICOLON})


def test_workers_are_counted_or_one_per_core(desk: Desk) -> None:
    assert desk.load(GOOD).worker_count() == 1
    assert desk.load(changed(workers=64)).worker_count() == 64
    cores = desk.load(changed(workers="auto")).worker_count()
    assert cores == min(64, os.cpu_count() or 1)
    assert desk.load(changed(accounts=MEMORY)).worker_count() == 1


def test_a_prefix_moves_the_preset(desk: Desk) -> None:
    table = desk.load(changed(preset_prefix="/x/y")).routes_table()

    assert table.match_route("POST", "/x/y/api/sessions")
    assert table.match_route("POST", "/api/sessions") is None


def test_people_without_an_account_are_forwarded_when_told(desk: Desk) -> None:
    table = desk.load(changed(preset_unregistered="forward")).routes_table()

    found = table.match_route("GET", "/api/userinfo")
    assert found is not None
    assert found.requirement.unregistered == "forward"


def test_the_token_goes_on_to_upstream_unless_told(desk: Desk) -> None:
    assert desk.load(GOOD).forward_authorization
    assert not desk.load(changed(forward_authorization=False)).forward_authorization


def test_a_mistake_elsewhere_is_not_blamed_on_the_whole(desk: Desk) -> None:
    assert "issuers[0].realm" in desk.the_problem(issuer(realm=" "))
    assert "identity_headers" in desk.the_problem(headers(shoe="X-Shoe"))
    assert len(desk.problems(changed(accounts={}, workers="auto"))) == 1

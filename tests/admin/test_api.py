"""The admin API over its socket: accounts as the gateway's clients know them, and ours."""

import asyncio
from math import inf
from typing import Any

import pytest

from sidecar.admin.reading import MOST_BYTES
from sidecar.core.decision import Grant
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.routes import Route
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import CutReason, StatusUnavailable, StreamKind
from tests.admin.office import WORKER, Office
from tests.fakes.world import ISSUER, NOW, REALM

ACCOUNTS = "/api/serviceaccounts"
POSTED = {"subject": "alice", "name": "Alice", "groups": ["devops", "ops"], "status": "active"}
ID = "0bb28b0a-d2d5-5e52-9c0c-dbdb6aad1b35"


def stored(subject: str = "alice", **fields: Any) -> Account:
    account = {"name": "Alice", "groups": ("devops",), "status": AccountStatus.ACTIVE, **fields}
    return Account(id="id", subject=subject, **account)


async def test_an_account_is_created_with_the_gateways_members_and_ours() -> None:
    async with Office().listening() as office:
        code, shown = await office.ask("POST", ACCOUNTS, POSTED)

        assert code == 201
        assert {name: shown[name] for name in POSTED} == POSTED
        assert list(shown)[:6] == ["id", "org_id", "subject", "name", "status", "groups"]
        assert shown["realm"] == REALM
        assert (shown["not_before"], shown["updated_at"]) == (0.0, NOW)
        assert shown["updated_by"] == "admin secret"
        assert await office.ask("GET", f"{ACCOUNTS}/alice") == (200, shown)
        assert await office.ask("GET", ACCOUNTS) == (200, [shown])
        assert await office.ask("HEAD", ACCOUNTS) == (200, None)


async def test_the_gateways_refusals_have_its_statuses_and_words() -> None:
    missing = (
        "Key: 'ServiceAccount.{0}' Error:Field validation for '{0}' failed on the 'required' tag"
    )
    async with Office().listening() as office:
        office.store.accounts[SubjectKey(REALM, "alice")] = stored()

        assert await office.ask("POST", ACCOUNTS, POSTED) == (
            409,
            {"message": "resource already exists"},
        )
        assert await office.ask("PUT", f"{ACCOUNTS}/bob", {**POSTED, "subject": "bob"}) == (
            404,
            {"message": "resource not found"},
        )
        assert await office.ask("POST", ACCOUNTS, {**POSTED, "status": "foo"}) == (
            422,
            {"message": 'wrong status value "foo"'},
        )
        for body in ({"status": "active"}, {"subject": "", "status": "active"}):
            code, said = await office.ask("POST", ACCOUNTS, body)
            assert (code, said["message"]) == (400, missing.format("Subject"))
        code, said = await office.ask("POST", ACCOUNTS, {"subject": None})
        assert said["message"].splitlines() == [missing.format("Subject"), missing.format("Status")]


async def test_what_hoops_command_sends_is_understood() -> None:
    """`hoop admin create serviceaccount alice`, then `--overwrite --disable`, then `get`."""
    headers = {"User-Agent": "hoopcli/1.74.0", "Content-Type": "application/json"}
    made = b'{"groups":[],"name":"","status":"active","subject":"alice"}'
    async with Office().listening() as office:
        code, shown = await office.ask("POST", ACCOUNTS, made, **headers)
        assert (code, isinstance(shown, dict)) == (201, True)
        off = made.replace(b'"active"', b'"inactive"')
        code, shown = await office.ask("PUT", f"{ACCOUNTS}/alice", off, **headers)
        assert (code, shown["status"]) == (200, "inactive")
        code, shown = await office.ask("GET", ACCOUNTS, **headers)
        assert (code, [each["status"] for each in shown]) == (200, ["inactive"])


async def test_an_update_replaces_groups_and_status_and_keeps_the_name_for_an_empty_one() -> None:
    async with Office().listening() as office:
        office.store.accounts[SubjectKey(REALM, "alice")] = stored(not_before=7.0)

        code, shown = await office.ask(
            "PUT", f"{ACCOUNTS}/alice", {"subject": "alice", "status": "inactive", "name": ""}
        )

        assert code == 200
        assert (shown["name"], shown["groups"], shown["status"]) == ("Alice", [], "inactive")
        assert shown["not_before"] == 7.0
        conflict = await office.ask("PUT", f"{ACCOUNTS}/alice", {**POSTED, "subject": "bob"})
        assert conflict[0] == 409


async def test_a_subject_with_a_slash_can_be_shut_out_too() -> None:
    subject = "api://robot/1?x=%2F"
    path = f"{ACCOUNTS}/api:%2F%2Frobot%2F1%3Fx=%252F"
    async with Office().listening() as office:
        code, _ = await office.ask("POST", ACCOUNTS, {**POSTED, "subject": subject})
        assert code == 201
        code, shown = await office.ask(
            "PUT", path, {**POSTED, "subject": subject, "status": "inactive"}
        )
        assert (code, shown["status"]) == (200, "inactive")
        assert (await office.ask("DELETE", path))[0] == 204
        assert (await office.ask("DELETE", path))[0] == 404


async def test_what_cannot_stand_as_an_account_is_refused() -> None:
    async with Office().listening() as office:
        for wrong in (
            {"subject": "a b"},
            {"subject": "x" * 256},
            {"subject": "\ud800"},
            {"name": "bell\x07"},
            {"name": "x" * 256},
            {"groups": ["a,b"]},
            {"groups": [""]},
        ):
            assert (await office.ask("POST", ACCOUNTS, {**POSTED, **wrong}))[0] == 422, wrong
        for wrong_type in ({"subject": 1}, {"groups": "ops"}, {"groups": [1]}, {"status": 1}):
            assert (await office.ask("POST", ACCOUNTS, {**POSTED, **wrong_type}))[0] == 400
        assert office.store.accounts == {}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"subject": "a", "subject": "b", "status": "active"}', "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b" " * (MOST_BYTES + 1), "application/json", 413),
        (b'{"subject": "a", "status": "active"}', "text/plain", 415),
        (b"subject=a", "application/x-www-form-urlencoded", 415),
        (b'{"subject": "a", "status": "active"}', "application/json; charset=utf-8", 201),
    ],
)
async def test_a_body_is_json_that_says_it_once_and_is_not_large(
    body: bytes, kind: str, status: int
) -> None:
    async with Office().listening() as office:
        code, _ = await office.ask("POST", ACCOUNTS, body, **{"Content-Type": kind})

    assert code == status


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with Office().listening() as office:
        host, _, port = office.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /api/serviceaccounts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer a-secret-of-some-length\r\nContent-Length: 9\r\n\r\n{"
        )
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_lists_come_by_pages() -> None:
    async with Office().listening() as office:
        for number in range(5):
            key = SubjectKey(REALM, f"s{number}")
            office.store.accounts[key] = stored(key.subject)

        code, first, headers = await office.ask_all("GET", f"{ACCOUNTS}?limit=3")
        assert (code, [each["subject"] for each in first]) == (200, ["s0", "s1", "s2"])
        path = headers["Link"].partition(">")[0].lstrip("<")
        _, rest, headers = await office.ask_all("GET", path)
        assert [each["subject"] for each in rest] == ["s3", "s4"]
        assert "Link" not in headers


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=1.0", "limit=", "limits=1", "limit=1&limit=2"]
)
async def test_a_query_that_says_something_else_is_refused(query: str) -> None:
    async with Office().listening() as office:
        assert (await office.ask("GET", f"{ACCOUNTS}?{query}"))[0] == 400


async def test_other_realms_have_to_be_named_and_to_exist() -> None:
    async with Office().listening() as office:
        assert (await office.ask("POST", f"{ACCOUNTS}?realm=lab", POSTED))[0] == 201
        assert list(office.store.accounts) == [SubjectKey("lab", "alice")]
        assert (await office.ask("GET", f"{ACCOUNTS}/alice"))[0] == 404
        assert (await office.ask("GET", f"{ACCOUNTS}/alice?realm=lab"))[0] == 200
        assert (await office.ask("GET", f"{ACCOUNTS}?realm=nowhere"))[0] == 404
        assert (await office.ask("GET", "/api/realms/nowhere/revoke-tokens"))[0] == 404


async def test_tokens_are_revoked_of_one_and_of_all() -> None:
    async with Office().listening() as office:
        office.store.accounts[SubjectKey(REALM, "alice")] = stored()
        path = f"/api/realms/{REALM}/revoke-tokens"

        code, shown = await office.ask("POST", f"{ACCOUNTS}/alice/revoke-tokens")
        assert (code, shown["not_before"], shown["status"]) == (200, NOW + 1, "active")
        assert (await office.ask("POST", f"{ACCOUNTS}/bob/revoke-tokens", {}))[0] == 404
        assert await office.ask("GET", path) == (200, {"realm": REALM, "not_before": 0.0})
        assert await office.ask("POST", path) == (200, {"realm": REALM, "not_before": NOW + 1})
        assert await office.ask("GET", path) == (200, {"realm": REALM, "not_before": NOW + 1})

        # What cannot be read revokes for ever, and JSON has no infinity.
        office.store.realm_not_before[REALM] = inf
        assert await office.ask("GET", path) == (200, {"realm": REALM, "not_before": None})


async def test_each_write_is_logged_and_kept_with_who_and_what_before_and_after() -> None:
    async with Office().listening() as office:
        await office.ask("POST", ACCOUNTS, POSTED)
        await office.ask("PUT", f"{ACCOUNTS}/alice", {**POSTED, "status": "inactive"})
        await office.ask("DELETE", f"{ACCOUNTS}/alice")
        await office.ask("DELETE", f"{ACCOUNTS}/alice")

        _, found = await office.ask("GET", "/api/audit")
        records = [each["record"] for each in found["entries"]]
        assert [each["action"] for each in records] == ["delete", "update", "create"]
        assert [each["action"] for each in reversed(records)] == [
            each.action for each in office.world.observer.audits
        ]
        update = records[1]
        assert (update["actor"], update["subject"]) == ("admin secret", "alice")
        assert (update["before"]["status"], update["after"]["status"]) == ("active", "inactive")
        oldest = found["entries"][1]["id"]
        _, page = await office.ask("GET", f"/api/audit?limit=1&before={oldest}")
        assert [each["record"]["action"] for each in page["entries"]] == ["create"]
        assert (await office.ask("GET", "/api/audit?before=x"))[0] == 400


async def test_while_the_store_is_away_nothing_is_claimed_to_be_done() -> None:
    async with Office().listening() as office:
        office.store.failure = StatusUnavailable("no Redis")

        code, said, headers = await office.ask_all("POST", ACCOUNTS, POSTED)

        assert (code, headers["Retry-After"]) == (503, "1")
        assert "Redis" not in said["message"]
        assert office.world.observer.audits == []


async def test_a_defect_of_ours_is_no_success_and_tells_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Office().listening() as office:
        office.store.failure = RuntimeError("a defect")

        assert await office.ask("DELETE", f"{ACCOUNTS}/alice") == (
            500,
            {"message": "internal server error"},
        )
    assert "a defect" in caplog.text


async def test_others_that_keep_changing_an_account_are_a_conflict() -> None:
    async with Office().listening() as office:
        key, count = SubjectKey(REALM, "alice"), 0
        office.store.accounts[key] = stored()

        def change() -> None:
            nonlocal count
            count += 1
            office.store.accounts[key] = stored(name=f"Alice {count}")

        office.store.before_put = change
        body = {**POSTED, "status": "inactive"}
        assert (await office.ask("PUT", f"{ACCOUNTS}/alice", body))[0] == 409


async def test_other_paths_and_methods_are_not_there() -> None:
    async with Office().listening() as office:
        for path in ("/api/", "/api/serviceaccounts/", "/api/users"):
            assert await office.ask("GET", path) == (404, {"message": "resource not found"})
        code, _, headers = await office.ask_all("PATCH", f"{ACCOUNTS}/alice")
        assert (code, headers["Allow"]) == (405, "DELETE, GET, HEAD, PUT")
        code, _, headers = await office.ask_all("GET", "/api/streams/cut")
        assert (code, headers["Allow"]) == (405, "POST")


def granted(subject: str, realm: str = REALM) -> Grant:
    principal = Principal(
        key=SubjectKey(realm, subject),
        kind=PrincipalKind.SERVICE_ACCOUNT,
        issuer=ISSUER,
        name="",
        groups=(),
        scopes=frozenset(),
        client_id="client",
        token_id=None,
        issued_at=1.0,
        expires_at=2.0,
    )
    return Grant(Route("reports", "/reports"), principal)


async def test_streams_are_listed_oldest_first_and_cut_by_subject() -> None:
    async with Office().listening() as office:
        cut: list[str] = []

        def end(name: str, reason: CutReason) -> None:
            cut.append(f"{name} {reason}")

        streams, clock = office.streams, office.world.clock
        for number, subject in enumerate(("alice", "bob", *["alice"] * 20)):
            streams.registered(
                granted(subject),
                StreamKind.HTTP,
                lambda reason, name=f"{subject} {number}": end(name, reason),
            )
            clock.advance(1)
        streams.registered(Grant(Route("open", "/")), StreamKind.HTTP, lambda _: None)

        _, seen = await office.ask("GET", "/api/streams?limit=2")
        assert seen == {
            "streams": [
                {
                    "worker": WORKER,
                    "realm": REALM,
                    "subject": subject,
                    "client_id": "client",
                    "kind": "http",
                    "route": "reports",
                    "since": NOW + number,
                }
                for number, subject in enumerate(("alice", "bob"))
            ],
            "silent": [],
        }
        _, ours = await office.ask("GET", f"/api/streams?subject=bob&realm={REALM}")
        assert len(ours["streams"]) == 1
        assert (await office.ask("GET", "/api/streams?realm=lab"))[1]["streams"] == []

        assert await office.ask("POST", "/api/streams/cut", {"subject": "alice"}) == (
            200,
            {"cut": 21},
        )
        assert len(cut) == 21
        assert not [each for each in cut if each.startswith("bob")]
        (audit,) = office.world.observer.audits
        assert (audit.action, audit.actor, audit.streams) == ("cut_streams", "admin secret", 21)
        assert await office.ask("POST", "/api/streams/cut", {"subject": "nobody"}) == (
            200,
            {"cut": 0},
        )
        assert len(office.world.observer.audits) == 1

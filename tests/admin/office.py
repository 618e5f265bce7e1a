"""The admin API among fakes, behind its listener: asked over the socket as everybody would."""

import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from typing_extensions import override

from sidecar.adapters.audit_trail import AuditTrail, Entry, MemoryAuditLog
from sidecar.adapters.store_revision import Mark
from sidecar.admin.api import AdminApi
from sidecar.admin.audit import AuditOperations
from sidecar.admin.console.backing import Backing, Facts, KnownIssuer
from sidecar.admin.console.console import Console
from sidecar.admin.decisions import DecisionOperations
from sidecar.admin.desk import Desk, OwnDesk
from sidecar.admin.gatekeeper import PATH, Gatekeeper
from sidecar.admin.listener import AdminListener
from sidecar.admin.operations import Operation
from sidecar.admin.realms import RealmOperations, Realms
from sidecar.admin.service_accounts import AccountOperations
from sidecar.admin.streams import StreamOperations
from sidecar.app.auditing import Auditing
from sidecar.app.running import running
from sidecar.core.admin_refusal import AdminRefusal
from sidecar.core.last_use import LastUse, UseRecord
from sidecar.core.routes import Requirement, Route
from sidecar.observability.decision_log import audit_line
from sidecar.observability.recent_decisions import RecentDecisions
from sidecar.observability.scraped import Reading
from sidecar.observability.workers import Figures, Worker
from sidecar.revocations import Revocations
from sidecar.service_accounts import ServiceAccounts
from sidecar.streams import Streams
from tests.fakes.store import FakeAccountStore
from tests.fakes.world import ISSUER, NOW, REALM, World

SECRET = "a-secret-of-some-length"
ADMINS = Route("admin-api", PATH, requirement=Requirement(groups=frozenset({"admin"})))
WORKER = 4711


class FakeAuditLog(MemoryAuditLog):
    """In memory; answers with the ``failure`` if there is one."""

    failure: Exception | None = None

    @override
    async def newest(self, limit: int, before: str | None) -> Sequence[Entry]:
        if self.failure is not None:
            raise self.failure
        return await super().newest(limit, before)


class Office:
    """The API, what it writes to, and what it refused. ``robot`` is an admin.

    ``records`` is whether there is a store with a revision and a record of last uses.
    """

    def __init__(
        self,
        *,
        secret: str | None = SECRET,
        tokens: bool = True,
        desk: Desk | None = None,
        records: bool = True,
    ) -> None:
        self.world = World(routes=(ADMINS,))
        self.world.enroll("robot", "admin")
        self.store = FakeAccountStore()
        self.refusals: list[AdminRefusal] = []
        self.lost = 0
        self.recent = RecentDecisions(self.world.clock)
        self.own_desk = OwnDesk(self.recent, WORKER)
        self.streams = Streams(self.world.observer, self.world.clock.now)
        self.log = FakeAuditLog(100)
        self.trail = AuditTrail(self.log, audit_line, self._lose)
        self.audit = Auditing(self.world.observer, self.trail)
        self.gatekeeper = Gatekeeper(
            self.world.authorizer if tokens else None,
            secret,
            self.world.clock,
            self.refusals.append,
        )
        self.api = AdminApi(
            self.gatekeeper,
            self._rows(Realms(frozenset({REALM, "lab"}), REALM), desk or self.own_desk),
            self.trail,
            body_seconds=0.2,
        )
        realms = Realms(frozenset({REALM, "lab"}), REALM)
        self.reading = Reading(decisions={("granted", ""): 0.0}, is_live=True, proven_at=NOW - 0.1)
        self.workers: tuple[Worker, ...] = ()
        self.use_failure: Exception | None = None
        self.uses: dict[str, LastUse] = {}
        self.backing = Backing(
            realms,
            self._accounts,
            self._revocations,
            desk or self.own_desk,
            self.trail,
            self.world.clock,
            Figures(lambda: self.reading, lambda: self.workers),
            Facts(
                (KnownIssuer(ISSUER, REALM, 300.0, 3600.0),),
                ("read", "write"),
                ("http://upstream.example",),
                0.5,
            ),
            self._mark if records else None,
            self._read_uses if records else None,
        )
        self.console = Console(self.gatekeeper, self.backing, look_seconds=0.02)
        self.url = ""

    async def _mark(self) -> Mark:
        self.store.fail()
        return Mark(1234, "")

    async def _read_uses(self, realm: str, subjects: Sequence[str]) -> UseRecord:
        assert realm in (REALM, "lab")
        if self.use_failure is not None:
            raise self.use_failure
        return UseRecord(0.0, {each: self.uses[each] for each in subjects if each in self.uses})

    def _rows(self, realms: Realms, desk: Desk) -> tuple[Operation, ...]:
        clock = self.world.clock
        decisions = DecisionOperations(desk, self.gatekeeper.still_admits, look_seconds=0.01)
        return (
            *AccountOperations(realms, self._accounts, self._revocations).rows(),
            *RealmOperations(realms, self.store, self._revocations).rows(),
            *StreamOperations(realms, desk, clock, self.audit).rows(),
            *decisions.rows(),
            *AuditOperations(self.trail).rows(),
        )

    def _accounts(self, actor: str) -> ServiceAccounts:
        return ServiceAccounts(self.store, self.world.clock, self.audit, actor=actor)

    def _revocations(self, actor: str) -> Revocations:
        return Revocations(self.store, self.world.clock, self.audit, actor=actor)

    def _lose(self) -> None:
        self.lost += 1

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Office"]:
        listener = AdminListener(
            "127.0.0.1",
            0,
            probes=dict,
            render=lambda _: (b"", "text/plain"),
            workers=bytes,
            tls=tls,
        )
        listener.api, listener.console = self.api.answer, self.console.answer
        with self.own_desk.entered(self.streams):
            async with listener, running(self.trail.run):
                self.url = listener.url
                yield self

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        credentials: str | None = SECRET,
        **headers: str,
    ) -> tuple[int, Any]:
        """Return status and JSON; what is written is JSON, unless it is bytes or a header says."""
        status, answer, _ = await self.ask_all(
            method, path, body, credentials=credentials, **headers
        )
        return status, answer

    async def ask_all(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        credentials: str | None = SECRET,
        **headers: str,
    ) -> tuple[int, Any, dict[str, str]]:
        if method in ("POST", "PUT"):
            headers = {"Content-Type": "application/json", **headers}
        if credentials is not None:
            headers["Authorization"] = f"Bearer {credentials}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.url + path, data=body, headers=headers) as response,
        ):
            assert response.headers["Cache-Control"] == "no-store"
            text = await response.text()
            return response.status, json.loads(text) if text else None, dict(response.headers)

"""A small world around one decision: an issuer with real keys, accounts, a clock and routes."""

from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.authorize import Authorizer
from sidecar.binding import Proofs
from sidecar.core.decision import Decision
from sidecar.core.issuer import Issuer
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Requirement, Route, Routes, Unregistered
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.core.trace import Tracer
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.decision_services import DecisionServices
from sidecar.fronts.shown import NOTHING_SHOWN, ShownRules
from sidecar.ports import Change
from sidecar.rules import Rules
from tests.fakes.accounts import FakeAccountView
from tests.fakes.clock import FakeClock
from tests.fakes.introspection import FakeIntrospector
from tests.fakes.keys import FakeKeySource
from tests.fakes.observer import RecordingObserver
from tests.fakes.status_lists import FakeStatusLists
from tests.fakes.tokens import AnyKey, ec_key, ed25519_key, key_set, rsa_key, seal

ISSUER = "https://idp.example"
REALM = "corp"
AUDIENCE = "api://reports"
ROBOT = SubjectKey(REALM, "robot")
NOW = 1_700_000_000

ISSUERS = (
    Issuer(
        name=ISSUER,
        realm=REALM,
        algorithms=frozenset({"RS256", "ES256", "Ed25519"}),
        audiences=frozenset({AUDIENCE}),
    ),
)
ROUTES = (
    Route("health", "/health", frozenset({"GET"}), Requirement(bearer=False)),
    Route("public", "/public/**", requirement=Requirement(bearer=False)),
    Route("read", "/reports", frozenset({"GET"})),
    Route(
        "write", "/reports", frozenset({"POST"}), Requirement(scopes=frozenset({"reports.write"}))
    ),
    Route("admin", "/admin/**", requirement=Requirement(groups=frozenset({"admin", "root"}))),
    Route("people", "/people/**", requirement=Requirement(unregistered=Unregistered.FORWARD)),
    Route("watch", "/watch", frozenset({"GET"}), websocket=True),
)


class World:
    """An authorizer among fakes. ``robot`` has an active account, and its standing is at hand."""

    def __init__(
        self,
        *,
        issuers: Iterable[Issuer] = ISSUERS,
        routes: Iterable[Route] = ROUTES,
        proofs: Proofs | None = None,
        shown: ShownRules = NOTHING_SHOWN,
        **rules: Any,
    ) -> None:
        self.clock = FakeClock(NOW)
        self.keys = FakeKeySource()
        self.accounts = FakeAccountView()
        self.observer = RecordingObserver()
        self.remembered = VerifiedTokens(64)
        self.introspector = FakeIntrospector()
        self.status_lists = FakeStatusLists()
        self.rules: dict[str, Any] = rules
        self.proofs = proofs
        self.shown = shown  # what its doors read beside a token
        self.tracer: Tracer | None = None  # where its doors trace
        issuers = tuple(issuers)
        for issuer in issuers:
            self.keys.publish(issuer.name, key_set([rsa_key(), ec_key(), ed25519_key()]))
        self.settle(issuers, routes)
        self.enroll("robot")

    def settle(self, issuers: Iterable[Issuer], routes: Iterable[Route] = ROUTES) -> None:
        """Judge by these rules from now on, with the same memory of verified tokens."""
        self.authorizer = Authorizer(
            Rules(Routes(tuple(routes)), {issuer.name: issuer for issuer in issuers}, **self.rules),
            self.keys,
            self.accounts,
            self.clock,
            self.remembered,
            self.observer,
            DecisionServices(self.introspector, self.status_lists, self.proofs),
        )

    def enroll(
        self,
        subject: str,
        *groups: str,
        status: AccountStatus = AccountStatus.ACTIVE,
        not_before: float = 0.0,
        at_hand: bool = True,
    ) -> SubjectKey:
        """Write an account, have the change heard, and (unless told otherwise) have it at hand."""
        key = SubjectKey(REALM, subject)
        self.accounts.accounts[key] = Account(
            id=f"id-{subject}",
            subject=subject,
            name=subject.title(),
            groups=groups,
            status=status,
            not_before=not_before,
        )
        self.accounts.change(Change(REALM, subject))
        if at_hand:
            self.accounts.preload(key)
        return key

    def disable(self, subject: str) -> None:
        self.enroll(subject, status=AccountStatus.INACTIVE)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a good token; those changed to None are left out."""
        claims = {
            "iss": ISSUER,
            "sub": "robot",
            "aud": AUDIENCE,
            "iat": NOW - 10,
            "exp": NOW + 300,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(
        self,
        *,
        key: AnyKey | None = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token, good but for what is changed. A header member of None is left out."""
        key = rsa_key() if key is None else key
        members = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt", **(header or {})}
        return seal(
            {name: value for name, value in members.items() if value is not None},
            self.claims(**claims),
            key,
        )

    def request(
        self,
        method: str = "GET",
        path: str = "/reports",
        *,
        token: str | None = None,
        authorization: tuple[str, ...] | None = None,
        query: str = "",
    ) -> AccessRequest:
        if authorization is None:
            authorization = () if token is None else (f"Bearer {token}",)
        return AccessRequest(
            method, "sidecar.example", path, query, authorization, "192.0.2.7", "request-1"
        )

    def ask(self, method: str, path: str, *, token: str | None = None, query: str = "") -> Decision:
        """Return the decision that can be made at once; fail where something is not at hand."""
        decision = self.authorizer.authorize_now(
            self.request(method, path, token=token, query=query)
        )
        assert decision is not None, "something must be waited for: use wait_for"
        return decision

    async def wait_for(
        self, method: str, path: str, *, token: str | None = None, query: str = ""
    ) -> Decision:
        """Return the decision, waiting for keys and accounts as a front does."""
        return await self.authorizer.authorize(self.request(method, path, token=token, query=query))

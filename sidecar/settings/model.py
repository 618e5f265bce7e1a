"""All settings, and what the parts get of them."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from sidecar.core.identity_headers import ASSERTION, FIELDS, Asserts, IdentityHeaders, fold_name
from sidecar.core.issuer import Issuer as IssuerRules
from sidecar.core.rate_limit import Limit
from sidecar.core.request import Ambiguity
from sidecar.core.routes import Routes, Unregistered
from sidecar.settings.admin import Admin
from sidecar.settings.assertion import Assertion
from sidecar.settings.bound import BoundTokens, check_bound
from sidecar.settings.events import Events, stranger
from sidecar.settings.ext_authz import ExtAuthz
from sidecar.settings.fields import Section, Strings, read_list
from sidecar.settings.forward_auth import ForwardAuth
from sidecar.settings.grpc import Grpc, is_metadata_name
from sidecar.settings.header_names import HeaderName, is_header
from sidecar.settings.hoop import CLEARED, hoop_routes
from sidecar.settings.issuers import Issuer, check_issuers
from sidecar.settings.mirror import Mirror
from sidecar.settings.networks import Network
from sidecar.settings.rate_limit import RateLimit, check_shared
from sidecar.settings.resource import Resource
from sidecar.settings.routes import UNMATCHED, Route, limits_of_routes
from sidecar.settings.sections import (
    Accounts,
    Keys,
    Limits,
    Listen,
    Log,
    Upstream,
)
from sidecar.settings.signature_sizes import check_limits
from sidecar.settings.streams import Streams
from sidecar.settings.sync import Sync
from sidecar.settings.tracing import Tracing
from sidecar.settings.workers import MAX_WORKERS, Workers

_DEFAULT_HEADERS: dict[str, str | None] = {
    "subject": "X-Auth-Subject",
    "issuer": "X-Auth-Issuer",
    "name": "X-Auth-Name",
    "groups": "X-Auth-Groups",
    "scopes": "X-Auth-Scopes",
    "client_id": "X-Auth-Client-Id",
    "kind": "X-Auth-Kind",
    "request_id": "X-Request-Id",
    ASSERTION: "X-Auth-Assertion",
}
_OTHER_DOORS = ("forward_auth", "grpc", "ext_authz")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


def _is_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text) or ".." in text:
        raise ValueError("expected a path such as /x, without a slash at its end, or nothing")
    return text


def _cleared_by(preset: str | None) -> tuple[str, ...]:
    return CLEARED if preset == "hoop" else ()


class Settings(Section):
    """The sidecar's settings."""

    forward_auth: ForwardAuth | None = None
    """A door at which proxies ask; without it there is none."""
    grpc: Grpc | None = None
    """A door for gRPC calls, to a gRPC port of upstream's; without it there is none."""
    ext_authz: ExtAuthz | None = None
    """A door at which Envoy asks over gRPC; without it there is none."""
    upstream: Upstream | None = Field(default=None, validate_default=True)
    """What stands behind `listen`; without it that door stays closed."""
    accounts: Accounts
    issuers: tuple[Issuer, ...]
    """Whose tokens are accepted."""
    preset: Literal["hoop"] | None = None
    """A route table that comes with the sidecar."""
    preset_prefix: Annotated[str, AfterValidator(_is_prefix)] = ""
    """Path of the gateway's API_URL, such as /x; mostly none."""
    preset_unregistered: Unregistered = Unregistered.DENY
    """What the preset's routes do with subjects without an account: deny, or forward people."""
    routes: tuple[Route, ...] = Field(default=(), validate_default=True)
    """Routes of your own; they come before the preset's, and the first that matches decides."""
    shadow: bool = False
    """true refuses nobody on any route, and only logs and counts who would be; for a roll-out."""
    shadow_unmatched: bool = False
    """true lets pass, in the same way, what no route matches. It is refused otherwise."""
    tolerate: Annotated[tuple[Ambiguity, ...], BeforeValidator(read_list)] = ()
    """Spellings of paths that programs read differently, and that you need all the same."""
    assertion: Assertion | None = None
    """Tell upstream who is calling in a signed form, too. Needs `assertion.audience`."""
    identity_headers: dict[str, HeaderName | None] = Field(default_factory=dict)
    """Names of the headers that tell upstream who is calling; null leaves one out."""
    cleared_headers: Strings = Field(default=(), validate_default=True)
    """Further headers that upstream always gets empty, whatever the client sent."""
    forward_authorization: bool = True
    """Whether the token goes on to upstream. The Hoop gateway verifies it again."""
    mirror: Mirror | None = None
    """Follow changes of the gateway's service accounts that pass by. `mirror: {}` is enough."""
    resource: Resource | None = None
    """Tell clients without a token whose they need (RFC 9728). Needs `resource.identifier`."""
    listen: Listen = Listen()
    bound_tokens: BoundTokens = Field(default=BoundTokens(), validate_default=True)
    """What proves that a bound token is its sender's."""
    admin: Admin = Admin()
    keys: Keys = Keys()
    limits: Limits = Field(default=Limits(), validate_default=True)
    rate_limit: RateLimit | None = None
    """How much one caller may ask for; without it as much as it likes."""
    streams: Streams = Streams()
    events: Events | None = None
    """Receive security events of identity providers, on a listener of its own."""
    sync: Sync | None = None
    """Keep the accounts in step with the gateway's. Needs a way to sign in there."""
    log: Log = Log()
    tracing: Tracing | None = None
    """Send spans of requests to an OpenTelemetry collector; without it nothing is traced."""
    workers: Workers = 1
    """Processes that share the port; auto is one per core."""
    insecure_old_aiohttp: bool = False
    """Run on an aiohttp that is older than 3.14.3 or without its C parser, with known attacks."""

    @field_validator("upstream")
    @classmethod
    def _is_there_a_door(cls, upstream: Upstream | None, info: ValidationInfo) -> Upstream | None:
        if upstream is None and all(info.data.get(name, ...) is None for name in _OTHER_DOORS):
            others = " or ".join(f"`{name}`" for name in _OTHER_DOORS)
            raise ValueError(f"is missing; nobody could come in without it, or {others}")
        return upstream

    @field_validator("mirror")
    @classmethod
    def _is_passed_by(cls, mirror: Mirror | None, info: ValidationInfo) -> Mirror | None:
        if mirror is not None and info.data.get("upstream", ...) is None:
            raise ValueError("has no effect without upstream: what a proxy carries is not seen")
        return mirror

    @field_validator("issuers")
    @classmethod
    def _are_different(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        return check_issuers(issuers)

    @field_validator("routes")
    @classmethod
    def _lead_somewhere(cls, routes: tuple[Route, ...], info: ValidationInfo) -> tuple[Route, ...]:
        if not routes and "preset" in info.data and info.data["preset"] is None:
            raise ValueError("nothing would pass: name routes, or set preset: hoop")
        twice = [name for name, count in Counter(r.name for r in routes).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} names two of them; give each a name of its own")
        return routes

    @field_validator("identity_headers")
    @classmethod
    def _are_told_apart(
        cls, names: dict[str, str | None], info: ValidationInfo
    ) -> dict[str, str | None]:
        if names.get(ASSERTION) is not None and info.data.get(ASSERTION, ...) is None:
            raise ValueError("nobody signs an assertion: the section assertion is missing")
        for field in names:
            if field not in FIELDS:
                raise ValueError(f"{field!r} is none of {', '.join(FIELDS)}")
        used = [name for name in {**_DEFAULT_HEADERS, **names}.values() if name is not None]
        if len({fold_name(name) for name in used}) < len(used):
            raise ValueError("two fields have the same header, or spellings of the same")
        return names

    @field_validator("identity_headers", "cleared_headers")
    @classmethod
    def _can_be_sent(cls, names: Any, info: ValidationInfo) -> Any:
        for name in names.values() if isinstance(names, dict) else names:
            if name is not None and info.data.get("grpc") and not is_metadata_name(name):
                raise ValueError(f"{name!r} cannot be sent in gRPC; choose another name")
        return names

    @field_validator("cleared_headers")
    @classmethod
    def _are_headers(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        told = {**_DEFAULT_HEADERS, **info.data.get("identity_headers", {})}
        taken = {fold_name(name) for name in told.values() if name is not None}
        for name in (*map(is_header, names), *_cleared_by(info.data.get("preset"))):
            if fold_name(name) in taken:
                raise ValueError(f"{name!r} is sent empty and is an identity header; choose one")
        return names

    @field_validator("limits")
    @classmethod
    def _take_the_signatures(cls, limits: Limits, info: ValidationInfo) -> Limits:
        return check_limits(limits, info)

    @field_validator("bound_tokens")
    @classmethod
    def _are_proven(cls, bound: BoundTokens, info: ValidationInfo) -> BoundTokens:
        return check_bound(bound, info)

    @field_validator("events")
    @classmethod
    def _are_about_somebody(cls, events: Events | None, info: ValidationInfo) -> Events | None:
        issuers = frozenset(issuer.issuer for issuer in info.data.get("issuers", ()))
        unknown = None if events is None or not issuers else stranger(events, issuers)
        if unknown is not None:
            raise ValueError(unknown)
        return events

    @field_validator("workers")
    @classmethod
    def _share_accounts(cls, workers: int | str, info: ValidationInfo) -> int | str:
        accounts = info.data.get("accounts")
        if accounts is not None and accounts.url.startswith("memory:") and workers != 1:
            raise ValueError("accounts in memory:// are one process's own; set workers: 1")
        return workers

    @field_validator("rate_limit")
    @classmethod
    def _has_a_store(cls, limit: RateLimit | None, info: ValidationInfo) -> RateLimit | None:
        return check_shared(limit, info)

    @field_validator("sync")
    @classmethod
    def _has_one_place(cls, sync: Sync | None, info: ValidationInfo) -> Sync | None:
        if sync is not None and sync.gateway_url is None and info.data.get("upstream", ...) is None:
            raise ValueError("sync.gateway_url is missing, and so is upstream: where is it?")
        realms = sorted({issuer.realm for issuer in info.data.get("issuers", ())})
        if sync is None or not realms or sync.realm in realms:
            return sync
        if sync.realm is None and len(realms) == 1:
            return sync.model_copy(update={"realm": realms[0]})
        raise ValueError(f"sync.realm: expected the realm to sync, one of {', '.join(realms)}")

    def issuer_rules(self) -> Mapping[str, IssuerRules]:
        """Return what is demanded of each issuer's tokens, by issuer."""
        return {each.issuer: each.rules() for each in self.issuers}

    def routes_table(self) -> Routes:
        """Return the route table: your routes, then the preset's."""
        limits = self.route_limits()
        rows = [each.row(limits.get(each.name), shadow=self.shadow) for each in self.routes]
        if self.preset == "hoop":
            preset = hoop_routes(self.preset_prefix, self.preset_unregistered)
            rows.extend(replace(each, shadow=self.shadow) for each in preset)
        if self.shadow_unmatched:
            rows.append(UNMATCHED)
        return Routes(rows)

    def tolerated(self) -> frozenset[Ambiguity]:
        """Return the ambiguous spellings that are let through."""
        return frozenset(self.tolerate)

    def identity(self, asserts: Asserts | None = None) -> IdentityHeaders:
        """Return the identity headers' names, who signs, and what is always sent empty."""
        names = {**_DEFAULT_HEADERS, **self.identity_headers}
        if self.assertion is None:
            del names[ASSERTION]
        cleared = (*self.cleared_headers, *_cleared_by(self.preset))
        return IdentityHeaders(
            {field: name for field, name in names.items() if name is not None},
            tuple({fold_name(name): name for name in cleared}.values()),
            asserts,
        )

    def trusted_networks(self) -> tuple[Network, ...]:
        """Return the networks of the proxies whose word counts."""
        return self.listen.trusted_proxies

    def route_limits(self) -> Mapping[str, Limit]:
        """Return the limits of those routes that have their own, as each process keeps them."""
        return limits_of_routes(self.routes, self.rate_limit, self.worker_count())

    def worker_count(self) -> int:
        """Return how many processes serve."""
        if isinstance(self.workers, int):
            return self.workers
        return min(MAX_WORKERS, os.cpu_count() or 1)

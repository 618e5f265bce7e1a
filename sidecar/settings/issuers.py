"""An issuer's settings: whose tokens, for whom, signed how."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from sidecar.core.confirmation import Binding, BindingRules
from sidecar.core.groups import GroupRules
from sidecar.core.issuer import (
    ACCESS_TOKEN_TYPES,
    ASYMMETRIC_ALGORITHMS,
    SCOPE_CLAIMS,
    Introspected,
)
from sidecar.core.issuer import Issuer as IssuerRules
from sidecar.core.profile import RFC9068_TOKEN_TYPES, Profile
from sidecar.core.subject import is_group
from sidecar.settings.bound import BindingMode
from sidecar.settings.fields import ReadableFile, Realm, Strings, split_url
from sidecar.settings.introspection import Introspection, ambiguity
from sidecar.settings.preset_section import PresetSection, check_issuer, is_said_elsewhere
from sidecar.settings.presets import PRESETS
from sidecar.settings.status_list import StatusList

GroupsClaim = Annotated[str, Field(min_length=1, max_length=255)]


class Issuer(PresetSection):
    """One identity provider's issuer."""

    insecure_http: bool = False
    """Allow http:// for this issuer: whoever stands between can forge every token."""
    issuer: str = Field(default="", validate_default=True)
    """The tokens' `iss`, byte for byte; an https URL. Most presets make it."""
    realm: Realm = "default"
    """Issuers of one realm share their subjects."""
    jwks_url: str | None = None
    """Where the keys are; without it they are found by OpenID Connect Discovery."""
    algorithms: Strings = ("RS256",)
    """Algorithms that the provider signs with; asymmetric ones only."""
    profile: Profile = Profile.JWT
    """What the tokens keep: jwt, or rfc9068 for RFC 9068 (`typ` is at+jwt, and each token has
    `client_id`, `iat` and `jti`)."""
    client_claim: str | None = None
    """Claim that names the client, for providers whose tokens have no `aud` (Cognito)."""
    clients: Strings = Field(default=(), validate_default=True)
    """Values of `client_claim` that are let in."""
    audiences: Strings = Field(default=(), validate_default=True)
    """Values of `aud` that mean us; a token has to have one of them."""
    token_types: Strings = tuple(sorted(ACCESS_TOKEN_TYPES))
    """Values of the header's `typ` that an access token may have, in lower case."""
    type_required: bool = False
    """Refuse tokens without `typ`."""
    kid_optional: bool = False
    """Accept tokens that do not name their key; the first four of the set that fit are tried."""
    leeway: Annotated[float, Field(ge=0, le=300)] = 0.0
    """Seconds by which the clocks may differ. The Hoop gateway has 0."""
    required_claims: dict[str, str] = Field(default_factory=dict)
    """Claims that have to have exactly this value, such as token_use: access."""
    needed_claims: Strings = ()
    """Claims that have to be there whatever they say, such as azp: ID tokens may lack it."""
    scope_claims: Strings = SCOPE_CLAIMS
    """Claims with the scopes: a list, or words parted by spaces."""
    groups_from: Literal["account", "claim"] = "account"
    """Whose word counts for the caller's groups: the account's, or that of a claim of the token."""
    groups_claim: GroupsClaim | None = Field(default=None, validate_default=True)
    """Claim with the groups: a list, or words parted by spaces or commas; without it `groups`. A
    name such as https://app.hoop.dev/groups is one name."""
    group_names: dict[str, str] = Field(default_factory=dict)
    """Other names for groups, such as {ops-leads: admin}: routes ask for these and upstream is told
    these. What is given out here can be had in no other way."""
    dpop: BindingMode = Binding.OFF
    """Tokens that are bound to a client's key (RFC 9449, cnf.jkt): off refuses them, allowed takes
    them with a proof and others as bearers, required takes no others."""
    mtls: BindingMode = Binding.OFF
    """Tokens that are bound to a client's certificate (RFC 8705, cnf.x5t#S256): off refuses them,
    allowed takes them with that certificate and others as bearers, required takes no others."""
    insecure_bound_as_bearer: bool = False
    """Take bound tokens as plain bearers where their binding is not checked: stolen ones too."""
    ca: ReadableFile | None = None
    """PEM file with the authorities to trust for this provider instead of the system's."""
    introspection: Introspection | None = None
    """Ask the provider about opaque tokens (RFC 7662); without it they are refused."""

    @field_validator("issuer")
    @classmethod
    def _is_https(cls, text: str, info: ValidationInfo) -> str:
        if is_said_elsewhere(text, info.data):
            return text
        if not text:
            raise ValueError("is missing; set it, or a preset that makes it")
        _check_url(text, info, "issuer")
        check_issuer(text, info.data)
        return text

    @field_validator("jwks_url")
    @classmethod
    def _keys_by_https(cls, text: str | None, info: ValidationInfo) -> str | None:
        return None if text is None else _check_url(text, info, "keys")

    status_list: StatusList | None = None
    """Look tokens up in the provider's status lists; without it their `status` is not looked at."""

    @field_validator("status_list")
    @classmethod
    def _lists_by_https(cls, lists: StatusList | None, info: ValidationInfo) -> StatusList | None:
        for uri in () if lists is None else lists.uris:
            _check_url(uri, info, "status list")
        return lists

    @field_validator("introspection")
    @classmethod
    def _asks_by_https(
        cls, asked: Introspection | None, info: ValidationInfo
    ) -> Introspection | None:
        if asked is not None and asked.url is not None:
            _check_url(asked.url, info, "introspection")
        return asked

    @field_validator("algorithms")
    @classmethod
    def _are_asymmetric(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError('expected at least one algorithm, for example ["RS256"]')
        for name in names:
            if name not in ASYMMETRIC_ALGORITHMS:
                raise ValueError(
                    f"{name!r} is refused: a key that verifies must not be able to sign."
                    f" Expected some of {', '.join(sorted(ASYMMETRIC_ALGORITHMS))}"
                )
        return names

    @field_validator("clients")
    @classmethod
    def _goes_with_claim(cls, clients: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not all(clients):
            raise ValueError("a client is empty; leave it out")
        if bool(clients) != bool(info.data.get("client_claim")):
            if info.data.get("preset") is not None:
                raise ValueError("expected the client ids to let in: these tokens have no `aud`")
            raise ValueError("client_claim and clients belong together; set both, or neither")
        return clients

    @field_validator("audiences")
    @classmethod
    def _means_us(cls, audiences: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not audiences and not info.data.get("client_claim"):
            raise ValueError(
                "expected the `aud` of tokens for this API: without it any token of the provider,"
                " for whatever service, would pass. If its tokens have none, set client_claim and"
                " clients"
            )
        if not audiences and info.data.get("profile") is Profile.RFC9068:
            raise ValueError("expected an audience: RFC 9068 wants one in each token, and judged")
        if not all(audiences):
            raise ValueError("an audience is empty; leave it out")
        return audiences

    @field_validator("groups_claim")
    @classmethod
    def _is_read(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and info.data.get("groups_from", "claim") != "claim":
            raise ValueError("has no effect; set groups_from: claim, or leave it out")
        return name

    @field_validator("group_names")
    @classmethod
    def _are_groups(cls, names: dict[str, str]) -> dict[str, str]:
        for name in names.values():
            if not is_group(name):
                raise ValueError(
                    f"{name[:40]!r} is no group: up to 255 visible ASCII characters, blanks inside"
                    " allowed, no comma"
                )
        return names

    @field_validator("token_types")
    @classmethod
    def _are_lower(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in names)

    @field_validator("scope_claims", "needed_claims")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(names):
            raise ValueError("a claim's name is empty; leave it out")
        return names

    def rules(self) -> IssuerRules:
        """Return what the decision demands of this issuer's tokens."""
        is_profiled = self.profile is Profile.RFC9068
        return IssuerRules(
            name=self.issuer,
            realm=self.realm,
            algorithms=frozenset(self.algorithms),
            audiences=frozenset(self.audiences),
            client_claim=self.client_claim,
            clients=frozenset(self.clients),
            token_types=RFC9068_TOKEN_TYPES if is_profiled else frozenset(self.token_types),
            type_required=self.type_required or is_profiled,
            kid_optional=self.kid_optional,
            leeway=self.leeway,
            required_claims=dict(self.required_claims),
            groups=self._group_rules(),
            scope_claims=self.scope_claims,
            needed_claims=frozenset(self.needed_claims),
            profile=self.profile,
            binding=BindingRules(self.dpop, self.mtls, self.insecure_bound_as_bearer),
            introspection=None if self.introspection is None else self.introspection.rules(),
            status_list=None if self.status_list is None else self.status_list.rules(),
        )

    def twin(self) -> "Issuer | None":
        """Return the issuer that the preset means as well: Entra ID has two for one tenant."""
        preset = None if self.preset is None else PRESETS[self.preset]
        if preset is None or preset.twin is None:
            return None
        parts = {"tenant": self.issuer.split("/")[3], "clients": self.clients}
        mine, other = preset.fill_in(parts), PRESETS[preset.twin].fill_in(parts)
        # What was set by hand holds for both; opaque tokens are asked about once.
        unset = {name: value for name, value in other.items() if getattr(self, name) == mine[name]}
        required = self.required_claims | other["required_claims"]
        asked = self.introspection
        if asked is not None and asked.tokens is not Introspected.ALL:
            asked = None
        update = {**unset, "required_claims": required, "introspection": asked}
        return self.model_copy(update=update)

    def _group_rules(self) -> GroupRules:
        claim = (self.groups_claim or "groups") if self.groups_from == "claim" else None
        return GroupRules(claim, dict(self.group_names))


def with_twins(issuers: Iterable[Issuer]) -> Iterator[Issuer]:
    """Return the issuers, and those that their presets mean as well."""
    for each in issuers:
        yield each
        twin = each.twin()
        if twin is not None:
            yield twin


def check_issuers(given: Iterable[Issuer]) -> tuple[Issuer, ...]:
    """Return the issuers with those that their presets mean as well.

    Raises:
        ValueError: there are none, or two cannot be told apart.
    """
    issuers = tuple(with_twins(given))
    if not issuers:
        raise ValueError("expected at least one issuer: whose tokens are to be accepted?")
    twice = repeated(issuers)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice; join the two")
    either = ambiguous(issuers)
    if either is not None:
        raise ValueError(either)
    return issuers


def repeated(issuers: Iterable[Issuer]) -> str | None:
    """Return the first issuer that is there twice, or None."""
    seen: set[str] = set()
    for each in issuers:
        if each.issuer in seen:
            return each.issuer
        seen.add(each.issuer)
    return None


def ambiguous(issuers: Iterable[Issuer]) -> str | None:
    """Return which issuers take the same opaque tokens, or None."""
    return ambiguity(
        (place, each.introspection)
        for place, each in enumerate(issuers)
        if each.introspection is not None
    )


def _check_url(text: str, info: ValidationInfo, what: str) -> str:
    url = split_url(text, ("https", "http"))
    if url.scheme == "http" and not info.data.get("insecure_http"):
        raise ValueError("expected https (or set insecure_http: true for this issuer)")
    if not url.hostname or url.fragment or "@" in url.netloc:
        raise ValueError("expected a host and a path, without user or fragment")
    if what == "issuer" and url.query:
        # OpenID Connect Discovery 1.0, 2: no query or fragment components.
        raise ValueError("expected an issuer without a query")
    return text

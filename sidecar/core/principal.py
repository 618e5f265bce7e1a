"""The principal: who we say is calling, after all checks."""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import NamedTuple

from sidecar.core.groups import ACCOUNT_GROUPS, GroupRules
from sidecar.core.subject import SubjectKey


class StatusReference(NamedTuple):
    """Where a token's status is: a list, and the place in it."""

    uri: str
    place: int


@unique
class PrincipalKind(StrEnum):
    """What kind of caller the principal is."""

    SERVICE_ACCOUNT = "service_account"
    UNREGISTERED = "unregistered"


class Caller(NamedTuple):
    """Whose token was presented, for the log: its signature is good, and no more is said."""

    key: SubjectKey
    issuer: str
    client_id: str
    token_id: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a granted request.

    ``issued_at`` and ``expires_at`` are epoch seconds from the token; ``token_id`` is its ``jti``.
    ``binding`` is how the token was proven to be its sender's; empty for a plain bearer.
    ``group_rules`` is how ``groups`` were found, to find them again when the account changes, and
    ``status`` is where its issuer says whether the token is still valid, if there is such a place.
    """

    key: SubjectKey
    kind: PrincipalKind
    issuer: str
    name: str
    groups: tuple[str, ...]
    scopes: frozenset[str]
    client_id: str
    token_id: str | None
    issued_at: float | None
    expires_at: float
    binding: str = ""
    group_rules: GroupRules = field(default=ACCOUNT_GROUPS, compare=False, repr=False)
    status: StatusReference | None = field(default=None, compare=False)

"""The JSON of the admin API: what it reads, and what it says. The OpenAPI document shows them.

A service account has the Hoop gateway's members and, behind them, ours.
"""

from collections.abc import Mapping
from math import isinf
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sidecar.core.subject import (
    MAX_NAME_LENGTH,
    MAX_SUBJECT_LENGTH,
    Account,
    SubjectKey,
)
from sidecar.ports import StreamKind

MOST = 1000

_SUBJECT = r"^[\x21-\x7e]+$"
_NAME = r"^(?: |[^\p{C}\p{Z}])*$"
_GROUP = r"^[\x21-\x2b\x2d-\x7e](?:[\x20-\x2b\x2d-\x7e]*[\x21-\x2b\x2d-\x7e])?$"

Subject = Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT_LENGTH, pattern=_SUBJECT)]
Group = Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT_LENGTH, pattern=_GROUP)]
Status = Literal["active", "inactive"]
Moment = Annotated[
    float | None, Field(description="Epoch seconds; null: for ever, as it cannot be read.")
]


class Posted(BaseModel):
    """What is read from a body: nothing is converted; members that nobody knows mean nothing."""

    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)


class Asked(BaseModel):
    """What is read from a query: all text, and nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Shown(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Nothing(Posted):
    """An empty object will do."""


class NoQuery(Asked):
    """No parameters."""


class PostedAccount(Posted):
    """A service account as the gateway's clients write it."""

    subject: Subject
    """The token's `sub`, verbatim."""
    status: Status
    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH, pattern=_NAME)] | None = None
    """Printable; PUT keeps the old one where it is empty."""
    groups: list[Group] | None = None
    """All of them: PUT replaces those there are."""


class ToCut(Posted):
    """Whose streams."""

    subject: Subject
    realm: str | None = None


def _read_number(text: Any) -> Any:
    if isinstance(text, str):
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    return text


Limit = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(_read_number)]


class OfRealm(Asked):
    """Which realm; without it the gateway's."""

    realm: str = ""


class AccountsAsked(OfRealm):
    """Which accounts, by subject."""

    limit: Limit = MOST
    """How many; where there are more, the header Link names the rest."""
    after: str = ""
    """Those behind this subject."""


class StreamsAsked(Asked):
    """Which streams; without names all."""

    realm: str = ""
    subject: str = ""
    limit: Limit = MOST


class DecisionsAsked(Asked):
    """Which decisions; without names all."""

    outcome: Literal["", "granted", "denied"] = ""
    reason: str = ""
    realm: str = ""
    subject: str = ""
    route: str = ""
    limit: Limit = 100


class AuditAsked(Asked):
    """Which records."""

    limit: Limit = 100
    before: Annotated[str, Field(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$")] | None = None
    """Those older than the one with this id."""


class ServiceAccount(Shown):
    """A service account."""

    id: str
    org_id: str
    """Always empty: the sidecar knows no organisations."""
    subject: str
    name: str
    status: Status
    groups: list[str]
    realm: str
    not_before: Moment
    """Tokens issued before are refused."""
    updated_at: Moment
    updated_by: str


class Realm(Shown):
    """What is in force for everybody of a realm."""

    realm: str
    not_before: Moment
    """Tokens issued before are refused; 0 for none."""


class Stream(Shown):
    """A granted request in flight. `since` is in epoch seconds, `worker` a process id."""

    worker: int
    realm: str
    subject: str
    client_id: str
    kind: StreamKind
    route: str
    since: float


class StreamList(Shown):
    """Streams, the oldest first. `silent` are workers that did not say what they have."""

    streams: list[Stream]
    silent: list[int]


class CutStreams(Shown):
    """How many were cut. The account is as it was: whoever it is may come again."""

    cut: int


class Decision(Shown):
    """A decision, with the members of its line in the decision log.

    `enforced` is false where the request passed all the same: its route is in shadow.
    """

    model_config = ConfigDict(extra="allow")

    ts: str
    event: str
    outcome: Literal["granted", "denied"]
    reason: str
    worker: int


class DecisionList(Shown):
    """Decisions, the newest first. `silent` are workers that did not say what they have."""

    decisions: list[Decision]
    silent: list[int]


class AuditEntry(Shown):
    """A change: `record` has the members of its line in the log."""

    id: str
    record: dict[str, Any]


class AuditList(Shown):
    """Changes, the newest first."""

    entries: list[AuditEntry]


class Message(Shown):
    """Why not."""

    model_config = ConfigDict(extra="forbid")

    message: str


def show_account(key: SubjectKey, account: Account) -> Mapping[str, Any]:
    """Return the JSON of an account: a ``ServiceAccount``."""
    return {
        "id": account.id,
        "org_id": "",
        "subject": key.subject,
        "name": account.name,
        "status": account.status.value,
        "groups": list(account.groups),
        "realm": key.realm,
        "not_before": show_moment(account.not_before),
        "updated_at": show_moment(account.updated_at),
        "updated_by": account.updated_by,
    }


def show_moment(moment: float) -> float | None:
    """Return the JSON of a moment: infinity, which JSON has not, is null."""
    return None if isinf(moment) else moment

"""Subjects and their accounts: who may be in, as written in the account store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import NamedTuple

MAX_SUBJECT_LENGTH = 255
MAX_NAME_LENGTH = 255
_DELETED = "deleted"
_HELD = "held"


class SubjectKey(NamedTuple):
    """A subject is unique within its realm only (a realm names issuers that share subjects)."""

    realm: str
    subject: str


@unique
class AccountStatus(StrEnum):
    """The stored state of an account; a subject without an account is *unknown*."""

    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Account:
    """A service account with Hoop's own fields, and ours.

    ``not_before`` and ``updated_at`` are epoch seconds; a token issued before ``not_before`` is
    revoked. An inactive account that is ``held`` is so for a moment only, until it is known what
    the gateway says.
    """

    id: str
    subject: str
    name: str
    groups: tuple[str, ...]
    status: AccountStatus
    not_before: float = 0.0
    updated_at: float = 0.0
    updated_by: str = ""
    held: bool = False

    @property
    def is_active(self) -> bool:
        return self.status is AccountStatus.ACTIVE


class Standing(NamedTuple):
    """What the account store says of one token's subject at one time.

    ``account`` is None for an unknown subject. ``realm_not_before`` (epoch seconds) revokes every
    older token of the realm, ``token_revoked`` this one token (by ``jti``).
    """

    account: Account | None
    realm_not_before: float = 0.0
    token_revoked: bool = False


def is_subject(text: str) -> bool:
    r"""Say whether ``text`` can stand as a subject: 1 to 255 of ``[\x21-\x7e]``.

    ``sub`` may carry CR, LF, NUL or lone surrogates in a validly signed token; put into a header
    or a log line they would inject. RFC 9110, 5.5 allows visible ASCII; nothing else is needed.
    """
    return (
        0 < len(text) <= MAX_SUBJECT_LENGTH
        and text.isascii()
        and all("!" <= c <= "~" for c in text)
    )


def is_group(text: str) -> bool:
    """Say whether ``text`` can stand as a group: visible ASCII and spaces inside, no comma.

    Groups travel as one comma-separated header; a comma inside one would forge another.
    """
    return (
        0 < len(text) <= MAX_SUBJECT_LENGTH
        and text == text.strip()
        and text.isascii()
        and text.isprintable()
        and "," not in text
    )


def is_name(text: str) -> bool:
    """Say whether people may call an account so: up to 255 printable characters, or none."""
    return len(text) <= MAX_NAME_LENGTH and text.isprintable()


def read_groups(text: str) -> tuple[str, ...]:
    """Read the ``groups`` field: a JSON array of strings, or a comma list as typed by hand.

    A name that cannot stand as a group is left out: it grants less, never more.
    """
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return ()
        names = [name for name in parsed if isinstance(name, str)]
    else:
        names = [name.strip() for name in text.split(",")]
    return tuple(dict.fromkeys(name for name in names if is_group(name)))


def read_account(subject: str, fields: Mapping[str, str]) -> Account | None:
    r"""Read an account from its stored fields; None for an unknown subject.

    Unknown is one without fields, and one of which a deletion left only its ``not_before``.
    Only the exact text ``active`` is active: ``ACTIVE``, ``active\n`` or a missing status is not.
    """
    if not fields or fields.get("status") == _DELETED:
        return None
    return Account(
        id=fields.get("id", ""),
        subject=subject,
        name=fields.get("name", ""),
        groups=read_groups(fields.get("groups", "")),
        status=(
            AccountStatus.ACTIVE
            if fields.get("status") == AccountStatus.ACTIVE
            else AccountStatus.INACTIVE
        ),
        not_before=read_not_before(fields.get("not_before")),
        updated_at=read_not_before(fields.get("updated_at")),
        updated_by=fields.get("updated_by", ""),
        held=fields.get("status") == _HELD,
    )


def read_not_before(text: str | None) -> float:
    """Read epoch seconds. Absent is 0; what cannot be read is infinity: every token is older."""
    if not text:
        return 0.0
    try:
        moment = float(text)
    except ValueError:
        return float("inf")
    # NaN compares false with everything, so `iat < nan` would let every token pass; and what is
    # below 0 was not meant to revoke nothing.
    return moment if moment >= 0 else float("inf")


def write_tombstone(not_before: float) -> dict[str, str]:
    """Return the fields that a deleted account leaves: who reads them takes nobody in.

    Without them an account made anew would let in the tokens that were revoked of the old one.
    """
    return {"status": _DELETED, "not_before": repr(not_before)}


def write_account(account: Account) -> dict[str, str]:
    """Return the fields to store; ``read_account`` gives the account back.

    A hold has a status text of its own, so that a plain ``HSET ... status inactive`` meanwhile is a
    change: whoever takes the hold back finds another account than the held one, and leaves it.
    """
    return {
        "id": account.id,
        "subject": account.subject,
        "name": account.name,
        "groups": json.dumps(list(account.groups)),
        "status": _HELD if account.held else account.status.value,
        "not_before": repr(account.not_before),
        "updated_at": repr(account.updated_at),
        "updated_by": account.updated_by,
    }

"""The accounts that there should be, read from what a gateway or a file says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.core.subject import AccountStatus

FIELDS = ("subject", "name", "status", "groups")
_LONGEST_QUOTE = 40


class NotAccounts(ValueError):
    """This is no list of accounts; the message says where and what is wrong."""


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """How an account should be. An empty ``name`` is none of our business: the stored one stays."""

    subject: str
    name: str = ""
    groups: tuple[str, ...] = ()
    status: AccountStatus = AccountStatus.ACTIVE

    @property
    def is_active(self) -> bool:
        return self.status is AccountStatus.ACTIVE


def read_wanted(document: object, *, known_fields_only: bool = False) -> list[WantedAccount]:
    """Return the accounts of a list of objects; null is an empty list, as Go writes it.

    One bad entry spoils the list: without it the others would say that its account is gone.

    Args:
        document: what JSON or YAML was parsed to.
        known_fields_only: refuse others than ``FIELDS``, as people mistype them.

    Raises:
        NotAccounts: it is anything else.
    """
    if document is None:
        return []
    if not isinstance(document, list):
        raise NotAccounts("expected a list of accounts")
    wanted = []
    for number, entry in enumerate(document, 1):
        try:
            wanted.append(_read_entry(entry, known_fields_only=known_fields_only))
        except NotAccounts as problem:
            raise NotAccounts(f"account {number}: {problem}") from None
    return wanted


def _read_entry(entry: object, *, known_fields_only: bool) -> WantedAccount:
    if not isinstance(entry, Mapping):
        raise NotAccounts("expected an object with subject and status")
    strange = sorted(str(name) for name in entry if name not in FIELDS)
    if strange and known_fields_only:
        raise NotAccounts(f"{_quoted(strange[0])} is none of {', '.join(FIELDS)}")
    subject, status = _text(entry, "subject"), _text(entry, "status")
    if not subject:
        raise NotAccounts("the subject is missing")
    if status not in tuple(AccountStatus):
        raise NotAccounts(f"the status is {_quoted(status)}, expected active or inactive")
    return WantedAccount(subject, _text(entry, "name"), _groups(entry), AccountStatus(status))


def _text(entry: Mapping[Any, Any], field: str) -> str:
    value = entry.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotAccounts(f"the {field} is no text; write it in quotes")
    return value


def _groups(entry: Mapping[Any, Any]) -> tuple[str, ...]:
    value = entry.get("groups")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(group, str) for group in value):
        raise NotAccounts("groups: expected a list of texts")
    return tuple(dict.fromkeys(value))


def _quoted(text: str) -> str:
    return ascii(text[:_LONGEST_QUOTE])

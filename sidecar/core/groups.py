"""Which groups a caller is in, and by which names everybody here and upstream knows them.

They are the account's, or those that a claim of the token names: the one or the other, as the
issuer's settings say, never both. A token whose claim says ``admin`` gains nothing by it where they
are the account's.

``names`` renames them, and what comes out is what routes ask for and upstream is told: there is one
vocabulary behind this point. A name that is given out by the mapping can be had by the mapping
alone: where ``ops-leads`` becomes ``admin``, a group that somebody else called ``admin`` is left
out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.core.subject import Account, is_group

MAX_GROUPS = 256
MAX_GROUPS_LENGTH = 8192
_SEPARATORS = re.compile("[ ,]+")


@dataclass(frozen=True, slots=True)
class GroupRules:
    """Where groups come from. ``claim`` is a member's name as it stands, dots, slashes and all.

    Without ``claim`` they are the account's. ``names`` maps a group's own name to that which it has
    for routes and for upstream.
    """

    claim: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def of_claims(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the groups that the claim names; none where there is no claim, or it is absent.

        A name that cannot stand as a group is left out, as it is in an account: one odd name that
        somebody chose in the provider's directory must not lock everybody out who has it.

        Raises:
            ValueError: it is neither a list of strings nor a string of words, or there are more
                than is reasonable; a part of them would be an arbitrary one. The text says which
                and quotes nothing.
        """
        if self.claim is None or self.claim not in raw:
            return ()
        names = _read_names(raw[self.claim])
        if len(names) > MAX_GROUPS or sum(map(len, names)) > MAX_GROUPS_LENGTH:
            raise ValueError(f"the groups claim has more than {MAX_GROUPS}, or too long ones")
        return self._renamed(names)

    def left_out(self, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names in the claim that count for nothing, to show them to who asks why."""
        if self.claim is None or self.claim not in raw:
            return ()
        return tuple(name for name in _read_names(raw[self.claim]) if not self._renamed([name]))

    def of_caller(self, claimed: tuple[str, ...], account: Account | None) -> tuple[str, ...]:
        """Return the caller's groups: ``claimed`` by the token, or those of its account now."""
        if self.claim is not None:
            return claimed
        if account is None:
            return ()
        return self._renamed(account.groups) if self.names else account.groups

    def _renamed(self, names: Iterable[str]) -> tuple[str, ...]:
        given_out = frozenset(self.names.values())
        found = [
            self.names.get(name, name)
            for name in names
            if name in self.names or name not in given_out
        ]
        return tuple(dict.fromkeys(name for name in found if is_group(name)))


ACCOUNT_GROUPS = GroupRules()


def _read_names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [name for name in _SEPARATORS.split(value) if name]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise ValueError("the groups claim is neither a string nor a list of strings")

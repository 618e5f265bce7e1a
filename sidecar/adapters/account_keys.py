"""Names of the keys in the account store, and what a changed key means.

``<prefix>account:<realm>:<subject>`` is a hash (``core.subject.write_account``),
``<prefix>realm:<realm>`` a hash with an emergency ``not_before``, and
``<prefix>revoked:<realm>:<jti>`` exists until the revoked token has expired. A realm has no colon,
so a key reads back in one way only, whatever the subject holds. ``<prefix>revision`` and
``<prefix>epoch`` tell a store that was rolled back, ``<prefix>schema`` one that is laid out in
another way (``store_revision``), ``<prefix>sync:…`` who keeps a realm's accounts in step
(``redis_leader``). ``<prefix>audit`` is a stream of what was changed by sidecars and by the
commands (``audit_trail``).

How accounts are used is in ``<beside>seen:<realm>`` and ``<beside>uses:<realm>``, by subject,
what callers have left of a limit in ``<beside>rate:<limit>:<caller>`` (``redis_budgets``), and
which DPoP proofs were used in ``<beside>proof:<mark>``; ``<beside>event:<digest>`` is there for
each security event token that was put into force. No view is to hear of these, so ``beside`` does
not begin as the prefix does. It ends with it: by the prefix's hash tag a Cluster keeps all in one
slot.
"""

from dataclasses import dataclass

from sidecar.core.subject import SubjectKey
from sidecar.ports import Change

DEFAULT_PREFIX = "sidecar:"


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """The keys below one prefix."""

    prefix: str = DEFAULT_PREFIX

    def account(self, key: SubjectKey) -> str:
        return f"{self.prefix}account:{key.realm}:{key.subject}"

    def realm(self, realm: str) -> str:
        return f"{self.prefix}realm:{realm}"

    def revoked(self, realm: str, token_id: str) -> str:
        return f"{self.prefix}revoked:{realm}:{token_id}"

    def leader(self, realm: str) -> str:
        return f"{self.prefix}sync:leader:{realm}"

    def fence(self, realm: str) -> str:
        return f"{self.prefix}sync:fence:{realm}"

    @property
    def revision(self) -> str:
        return f"{self.prefix}revision"

    @property
    def epoch(self) -> str:
        return f"{self.prefix}epoch"

    @property
    def schema(self) -> str:
        return f"{self.prefix}schema"

    @property
    def marks(self) -> tuple[str, str, str]:
        """What tells whether anything that the store says counts."""
        return self.revision, self.epoch, self.schema

    @property
    def audit(self) -> str:
        return f"{self.prefix}audit"

    @property
    def beside(self) -> str:
        """What the keys begin with that nobody has to hear of."""
        # Whatever the prefix is, this has another first letter.
        return f"{'last-use' if self.prefix.startswith('u') else 'used'}:{self.prefix}"

    def last_seen(self, realm: str) -> str:
        return f"{self.beside}seen:{realm}"

    def uses(self, realm: str) -> str:
        return f"{self.beside}uses:{realm}"

    def budget(self, limit: str, who: str) -> str:
        return f"{self.beside}rate:{limit}:{who}"

    def event(self, digest: str) -> str:
        return f"{self.beside}event:{digest}"

    def proof(self, mark: str) -> str:
        return f"{self.beside}proof:{mark}"

    def accounts_of(self, realm: str) -> str:
        """Return the glob pattern (Redis ``SCAN``) of all accounts of a realm."""
        escaped = "".join(f"\\{c}" if c in "*?[]\\^-" else c for c in self.prefix)
        return f"{escaped}account:{realm}:*"

    def subject_of(self, key: str, realm: str) -> str:
        """Return the subject in an account's key."""
        return key.removeprefix(f"{self.prefix}account:{realm}:")

    def read_change(self, key: str) -> Change | None:
        """Return what a changed key changes; None for a key that is none of ours."""
        if not key.startswith(self.prefix):
            return None
        kind, _, rest = key.removeprefix(self.prefix).partition(":")
        realm, _, name = rest.partition(":")
        match kind:
            case "account":
                return Change(realm=realm, subject=name)
            case "revoked":
                return Change(realm=realm, token_id=name)
            case "realm":
                return Change(realm=rest)
            case _:
                return None

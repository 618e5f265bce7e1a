"""Realms in the admin API: which one is meant, and revoking all of its tokens."""

from collections.abc import Callable, Sequence

from aiohttp import web

from sidecar.admin.answers import Refused, answer
from sidecar.admin.operations import Call, Operation
from sidecar.admin.schemas import Nothing, Realm, show_moment
from sidecar.ports import AccountStore
from sidecar.revocations import Revocations


class Realms:
    """The realms that there are, and which one is meant where none is named."""

    def __init__(self, known: frozenset[str], default: str) -> None:
        self._known = known
        self._default = default

    @property
    def names(self) -> tuple[str, ...]:
        """Return all of them; the one that is meant where none is named comes first."""
        others = sorted(self._known - {self._default})
        return (self._default, *others) if self._default in self._known else tuple(others)

    def find(self, name: str | None) -> str:
        """Return the realm that is meant. Raises Refused: 404."""
        realm = name or self._default
        if realm not in self._known:
            raise Refused(404, "there is no such realm")
        return realm


class RealmOperations:
    """Answers for realms. ``revocations`` gives the use cases for an actor's name."""

    def __init__(
        self, realms: Realms, store: AccountStore, revocations: Callable[[str], Revocations]
    ) -> None:
        self._realms = realms
        self._store = store
        self._revocations = revocations

    def rows(self) -> Sequence[Operation]:
        """Return what can be done."""
        path = "/api/realms/{realm}/revoke-tokens"
        refusals = frozenset({404})
        return (
            Operation(
                "getRealmRevocation", "GET", path, "See since when tokens of a realm are good",
                self._show, {200: Realm}, refusals,
            ),
            Operation(
                "revokeRealmTokens", "POST", path, "Refuse every token that a realm has by now",
                self._revoke, {200: Realm}, refusals, body=Nothing,
            ),
        )  # fmt: skip

    async def _show(self, call: Call) -> web.Response:
        realm = self._realms.find(call.path["realm"])
        moment = await self._store.read_realm_not_before(realm)
        return answer(200, {"realm": realm, "not_before": show_moment(moment)})

    async def _revoke(self, call: Call) -> web.Response:
        realm = self._realms.find(call.path["realm"])
        moment = await self._revocations(call.actor).revoke_realm_tokens(realm)
        return answer(200, {"realm": realm, "not_before": show_moment(moment)})

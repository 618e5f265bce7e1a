"""``/api/serviceaccounts``, so that the Hoop gateway's clients can manage our accounts.

The gateway has list, POST and PUT; the rest is ours.
"""

from collections.abc import Callable, Sequence
from urllib.parse import quote

from aiohttp import web

from sidecar.admin.answers import COMMON, Refused, answer
from sidecar.admin.operations import Call, Operation
from sidecar.admin.realms import Realms
from sidecar.admin.schemas import (
    AccountsAsked,
    Nothing,
    OfRealm,
    PostedAccount,
    ServiceAccount,
    show_account,
)
from sidecar.core.subject import SubjectKey
from sidecar.revocations import Revocations
from sidecar.service_accounts import ServiceAccounts

_ALL = "/api/serviceaccounts"
_ONE = "/api/serviceaccounts/{subject}"


class AccountOperations:
    """Answers for accounts. Both callables give use cases for an actor's name."""

    def __init__(
        self,
        realms: Realms,
        accounts: Callable[[str], ServiceAccounts],
        revocations: Callable[[str], Revocations],
    ) -> None:
        self._realms = realms
        self._accounts = accounts
        self._revocations = revocations

    def rows(self) -> Sequence[Operation]:
        """Return what can be done."""
        return (
            Operation(
                "listServiceAccounts", "GET", _ALL, "List service accounts",
                self._list, {200: list[ServiceAccount]}, frozenset({404}), query=AccountsAsked,
            ),
            Operation(
                "createServiceAccount", "POST", _ALL, "Create a service account",
                self._create, {201: ServiceAccount}, frozenset({404, 409, 422}),
                query=OfRealm, body=PostedAccount,
            ),
            Operation(
                "getServiceAccount", "GET", _ONE, "See a service account",
                self._get, {200: ServiceAccount}, frozenset({404}), query=OfRealm,
            ),
            Operation(
                "updateServiceAccount", "PUT", _ONE, "Change a service account",
                self._update, {200: ServiceAccount}, frozenset({404, 409, 422}),
                query=OfRealm, body=PostedAccount,
            ),
            Operation(
                "deleteServiceAccount", "DELETE", _ONE, "Delete a service account",
                self._delete, {204: None}, frozenset({404}), query=OfRealm,
            ),
            Operation(
                "revokeServiceAccountTokens", "POST", f"{_ONE}/revoke-tokens",
                "Refuse every token that a service account has by now",
                self._revoke, {200: ServiceAccount}, frozenset({404, 409}),
                query=OfRealm, body=Nothing,
            ),
        )  # fmt: skip

    async def _list(self, call: Call) -> web.Response:
        asked: AccountsAsked = call.query
        realm = self._realms.find(asked.realm)
        everybody = await self._accounts(call.actor).list(realm)
        rest = [account for account in everybody if account.subject > asked.after]
        page = rest[: asked.limit]
        headers = {}
        if len(rest) > len(page):
            query = f"realm={quote(realm)}&limit={asked.limit}&after={quote(page[-1].subject, '')}"
            headers["Link"] = f'<{_ALL}?{query}>; rel="next"'
        shown = [show_account(SubjectKey(realm, each.subject), each) for each in page]
        return answer(200, shown, headers)

    async def _create(self, call: Call) -> web.Response:
        posted: PostedAccount = call.body
        key = SubjectKey(self._realms.find(call.query.realm), posted.subject)
        account = await self._accounts(call.actor).create(
            key,
            name=posted.name or "",
            groups=posted.groups or (),
            active=posted.status == "active",
        )
        return answer(201, show_account(key, account))

    async def _get(self, call: Call) -> web.Response:
        key = self._key(call)
        return answer(200, show_account(key, await self._accounts(call.actor).get(key)))

    async def _update(self, call: Call) -> web.Response:
        key, posted, accounts = self._key(call), call.body, self._accounts(call.actor)
        if posted.subject != key.subject:
            await accounts.get(key)
            raise Refused(409, "a subject cannot be changed; create another account")
        account = await accounts.update(
            key,
            # The gateway keeps the old name for an empty one, and takes no groups for none.
            name=posted.name or None,
            groups=posted.groups or (),
            active=posted.status == "active",
        )
        return answer(200, show_account(key, account))

    async def _delete(self, call: Call) -> web.Response:
        await self._accounts(call.actor).delete(self._key(call))
        return web.Response(status=204, headers=COMMON)

    async def _revoke(self, call: Call) -> web.Response:
        key = self._key(call)
        account = await self._revocations(call.actor).revoke_subject_tokens(key)
        return answer(200, show_account(key, account))

    def _key(self, call: Call) -> SubjectKey:
        return SubjectKey(self._realms.find(call.query.realm), call.path["subject"])

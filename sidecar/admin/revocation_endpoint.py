"""``POST /oauth2/revoke``: the OAuth 2.0 token revocation endpoint (RFC 7009).

Its clients are programs that the settings name, and they may revoke anybody's token: that a token
was issued to whoever asks (RFC 7009, 2.1) is not demanded, as an incident's responder is not the
program whose token leaked. What a token is, its signature says, not the one who presents it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from sidecar.admin.answers import answer
from sidecar.admin.bodies import BodyRefused, read_body
from sidecar.core.client_request import ClientRefused, authenticate, read_form
from sidecar.core.decision import Denied
from sidecar.ports import StatusUnavailable
from sidecar.revocations import Revocations, TokenVerifier

log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 16 * 1024
# RFC 6749, 5.1 wants this beside Cache-Control wherever tokens and credentials are handled.
_NO_CACHE = {"Pragma": "no-cache"}


@dataclass(frozen=True, slots=True)
class RevocationClient:
    """Who may revoke."""

    client_id: str
    secret: str = field(repr=False)


class RevocationEndpoint:
    """Answers revocation requests.

    ``revocations`` gives the use cases for an actor's name. A body may take ``body_seconds``.
    """

    def __init__(
        self,
        clients: Sequence[RevocationClient],
        verifier: TokenVerifier,
        revocations: Callable[[str], Revocations],
        *,
        body_seconds: float = 10.0,
    ) -> None:
        self._clients = clients
        self._verifier = verifier
        self._revocations = revocations
        self._body_seconds = body_seconds

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request. Raises nothing but ``CancelledError``."""
        if request.method != "POST":
            return answer(405, {"message": "method not allowed"}, {"Allow": "POST", **_NO_CACHE})
        try:
            await self._revoke(request)
        except ClientRefused as refused:
            # Also what shows that somebody tries secrets out.
            log.warning("%s may not revoke: %s", request.remote, refused.description)
            return answer(refused.status, refused.members(), {**refused.headers(), **_NO_CACHE})
        except Exception:
            log.exception("a revocation failed")
            return answer(500, {"error": "server_error"}, _NO_CACHE)
        # RFC 7009, 2.2: "The content of the response body is ignored by the client".
        return answer(200, {}, _NO_CACHE)

    async def _revoke(self, request: web.BaseRequest) -> None:
        try:
            body = await read_body(request, _MAX_BODY_BYTES, self._body_seconds)
        except BodyRefused as refused:
            raise ClientRefused("invalid_request", refused.message) from None
        form = read_form(request.content_type, body)
        client = authenticate(request.headers.getall("Authorization", []), form, self._clients)
        # `token_type_hint` is not needed to find the token (RFC 7009, 2.1: "MAY ignore").
        token = form.get("token", [""])[0]
        if not token:
            raise ClientRefused("invalid_request", "token is missing")
        try:
            issuer, claims = await self._verifier.verify(token)
        except Denied as denied:
            if denied.reason.http_status == 503:
                raise ClientRefused(
                    "temporarily_unavailable", "the issuer cannot be asked now"
                ) from None
            # RFC 7009, 2.2: "invalid tokens do not cause an error response": what the client
            # wants has come true, the token is let in nowhere.
            log.info("%s would revoke a token that is none: %s", client.client_id, denied.detail)
            return
        if claims.token_id is None:
            # This one is good, and would stay so: to answer 200 would be a lie.
            raise ClientRefused("unsupported_token_type", "the token has no jti")
        try:
            await self._revocations(f"oauth2:{client.client_id}").revoke_token(
                issuer.realm, claims.token_id, claims.expires_at
            )
        except StatusUnavailable as unavailable:
            log.warning("%s could not revoke: %s", client.client_id, unavailable)
            # RFC 7009, 2.2.1: "the client must assume the token still exists".
            raise ClientRefused(
                "temporarily_unavailable", "the account store cannot be asked now"
            ) from None

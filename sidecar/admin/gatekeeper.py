"""Who may use the admin API: an admin's access token, a certificate, or the secret.

No cookie counts for the API, so no page that an operator looks at can write in the operator's name;
but a browser shows a client certificate to everybody. So what a page of another site sends is
refused. The console's sessions are judged here, too, each time by what had opened them.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

from sidecar.admin.answers import Refused
from sidecar.admin.attempts import Attempts
from sidecar.authorize import Authorizer
from sidecar.core.admin_refusal import AdminRefusal
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.ports import Clock

log = logging.getLogger(__name__)

PATH = "/api/"
"""What the authorizer is asked for, whatever of the API is wanted."""
_REALM = "sidecar-admin"
_DENIED = "access denied"
_SAFE = ("GET", "HEAD")
_UNSURE = (DenyReason.KEYS_UNAVAILABLE, DenyReason.STATUS_UNAVAILABLE, DenyReason.INTERNAL_ERROR)


class Gatekeeper:
    """Says who asks. ``refused`` is told why somebody may not.

    ``authorizer`` judges access tokens, ``secret`` is what may be shown instead; either may be
    missing. Certificates count where the listener asks for them.
    """

    def __init__(
        self,
        authorizer: Authorizer | None,
        secret: str | None,
        clock: Clock,
        refused: Callable[[AdminRefusal], None],
    ) -> None:
        self._authorizer = authorizer
        self._secret = None if secret is None else _digest(secret)
        self._attempts = Attempts(clock)
        self._refused = refused
        self._is_retired = False

    def retire(self) -> None:
        """Let go of whoever was admitted: other settings are in force."""
        self._is_retired = True

    async def admit(self, request: web.BaseRequest) -> str:
        """Return who asks, as the audit record names them.

        Raises:
            Refused: 401, 403, 429 or 503.
        """
        query = request.rel_url.raw_query_string
        return await self.admit_shown(request, _shown_in(request), query)

    async def admit_shown(
        self, request: web.BaseRequest, shown: tuple[str, ...], query: str = ""
    ) -> str:
        """Return who shows this, as ``admit`` does where a header shows it."""
        peer = request.remote or ""
        if shown:
            wait = self._attempts.wait_of(peer)
            if wait:
                reason = AdminRefusal.TOO_MANY_ATTEMPTS
                raise self._refusal(request, reason, "it is not listened to", 429, wait)
        try:
            return await self._judge(request, shown, query)
        except _Unfit as unfit:
            if unfit.reason is AdminRefusal.BAD_CREDENTIALS:
                self._attempts.failed(peer)
            raise self._refusal(request, unfit.reason, unfit.detail, unfit.status) from None

    def check_site(self, request: web.BaseRequest) -> None:
        """Refuse what a page of another site writes. Raises Refused: 403."""
        if request.method not in _SAFE and _is_cross_site(request):
            raise self.foreign(request, "it comes from another site")

    def foreign(self, request: web.BaseRequest, detail: str) -> Refused:
        """Return the refusal of what no page of ours has sent; ``detail`` is for the log."""
        return self._refusal(request, AdminRefusal.CROSS_SITE, detail, 403)

    async def still_admits(self, request: web.BaseRequest) -> bool:
        """Say whether who was admitted still would be; a failure is nobody's attempt."""
        try:
            await self.recheck(request, _shown_in(request), request.rel_url.raw_query_string)
        except Refused:
            return False
        return True

    async def recheck(
        self, request: web.BaseRequest, shown: tuple[str, ...], query: str = ""
    ) -> str:
        """Return who showed this before and still may; a failure is nobody's attempt.

        Raises:
            Refused: 401 or 403, or 503 while nobody can say.
        """
        if self._is_retired:
            raise Refused(401, _DENIED)
        try:
            return await self._judge(request, shown, query)
        except _Unfit as unfit:
            raise Refused(unfit.status, _DENIED) from None

    async def _judge(self, request: web.BaseRequest, shown: tuple[str, ...], query: str) -> str:
        if not shown:
            certificate = certificate_of(request)
            if certificate is None:
                raise _Unfit(AdminRefusal.NO_CREDENTIALS, "nothing was shown", 401)
            return f"certificate: {certificate}"
        scheme, _, credentials = shown[0].partition(" ")
        is_bearer = len(shown) == 1 and scheme.lower() == "bearer"
        # Digests, so that not even the length shows in the time it takes.
        shown_digest = _digest(credentials.strip(" "))
        if (
            is_bearer
            and self._secret is not None
            and hmac.compare_digest(shown_digest, self._secret)
        ):
            return "admin secret"
        if self._authorizer is None:
            raise _Unfit(AdminRefusal.BAD_CREDENTIALS, "it is not the secret", 401)
        return await self._judge_token(self._authorizer, request, shown, query)

    async def _judge_token(
        self,
        authorizer: Authorizer,
        request: web.BaseRequest,
        shown: tuple[str, ...],
        query: str,
    ) -> str:
        asked = AccessRequest("GET", request.host, PATH, query, shown, request.remote or "", "")
        decision = authorizer.authorize_now(asked)
        if decision is None:
            decision = await authorizer.authorize(asked)
        match decision:
            case Grant(principal=principal) if principal is not None:
                return f"admin: {principal.key.realm}/{principal.key.subject}"
            case Deny() as deny:
                raise _unfit(deny)
            case _:
                raise _Unfit(AdminRefusal.UNAVAILABLE, "granted to nobody", 500)

    def _refusal(
        self,
        request: web.BaseRequest,
        reason: AdminRefusal,
        detail: str,
        status: int,
        wait: int = 1,
    ) -> Refused:
        self._refused(reason)
        log.warning("%s may not use the admin API: %s (%s)", request.remote, reason, detail)
        match status:
            case 401:
                bad = reason is AdminRefusal.BAD_CREDENTIALS
                error = ', error="invalid_token"' if bad else ""
                headers = {"WWW-Authenticate": f'Bearer realm="{_REALM}"{error}'}
            case 429 | 503:
                headers = {"Retry-After": str(wait)}
            case _:
                headers = {}
        message = "too many attempts" if status == 429 else _DENIED
        return Refused(status, message, headers)


def _shown_in(request: web.BaseRequest) -> tuple[str, ...]:
    return tuple(request.headers.getall("Authorization", []))


class _Unfit(Exception):
    """What was shown does not do; ``detail`` is for the log."""

    def __init__(self, reason: AdminRefusal, detail: str, status: int) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.status = status


def _unfit(deny: Deny) -> _Unfit:
    status, detail = deny.reason.http_status, f"{deny.reason}: {deny.detail}"
    if deny.reason in _UNSURE:
        return _Unfit(AdminRefusal.UNAVAILABLE, detail, 503)
    if status == 403:
        return _Unfit(AdminRefusal.NOT_ADMIN, detail, 403)
    # Also what cannot be read as a bearer token: whoever shows something is told that it is bad.
    return _Unfit(AdminRefusal.BAD_CREDENTIALS, detail, 401)


def _is_cross_site(request: web.BaseRequest) -> bool:
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    try:
        # TLS may end in front of us, so that the scheme is not ours to compare.
        return urlsplit(origin).netloc != request.headers.get("Host", "")
    except ValueError:
        return True


def certificate_of(request: web.BaseRequest) -> str | None:
    """Return whose certificate was shown and verified, or None."""
    transport = request.transport
    certificate = None if transport is None else transport.get_extra_info("peercert")
    if not certificate:
        return None
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)[:255]
    names = [str(value) for _, value in certificate.get("subjectAltName", ())]
    return names[0][:255] if names else f"serial {certificate.get('serialNumber')}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

"""Who may come in to the console: the same people as to the API, and how a browser says so.

What they show, a token or the secret, is asked for once and judged again at each request: a session
ends when its token expires or its account is disabled, not later. A certificate needs no form.

Against pages of other sites: the cookie goes with none of their requests (SameSite=Strict), a form
has to come from a page of ours by what the browser says, and bears the session's own token.
"""

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from sidecar.admin.answers import Refused
from sidecar.admin.bodies import BodyRefused, read_body
from sidecar.admin.console.sessions import Session, Sessions
from sidecar.admin.gatekeeper import Gatekeeper, certificate_of

log = logging.getLogger(__name__)

COOKIE = "sidecar-console"
# RFC 6265bis, 4.1.3.2: with this prefix the cookie is of this host alone, and was set over TLS.
SECURE_COOKIE = f"__Host-{COOKIE}"
_MOST_BYTES = 64 * 1024
_BODY_SECONDS = 10.0
_MOST_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in; ``query`` and ``form`` are what came with it."""

    request: web.BaseRequest
    session: Session
    query: Mapping[str, str]
    form: Mapping[str, str]


class Entrance:
    """Lets in whom ``gatekeeper`` does."""

    def __init__(self, gatekeeper: Gatekeeper, sessions: Sessions) -> None:
        self._gatekeeper = gatekeeper
        self._sessions = sessions

    async def sign_in(self, request: web.BaseRequest, credential: str) -> str:
        """Begin a session by what was typed; return its name.

        Raises:
            Refused: 401, 403, 429 or 503.
        """
        shown = f"Bearer {credential.strip().removeprefix('Bearer ').strip()}"
        who = await self._gatekeeper.admit_shown(request, (shown,))
        return self._begin(request, who, (shown,))

    async def let_in_by_certificate(self, request: web.BaseRequest) -> str | None:
        """Begin a session for who showed a certificate; return its name, None without one.

        Raises:
            Refused: other settings are in force.
        """
        if certificate_of(request) is None:
            return None
        return self._begin(request, await self._gatekeeper.recheck(request, ()), ())

    async def find(
        self, request: web.BaseRequest, name: str = "", *, touch: bool = True
    ) -> Session | None:
        """Return the session of the request's cookie, or of ``name``; None if there is none.

        Raises:
            Refused: 503 while nobody can say whether its holder still may come in.
        """
        name = name or _cookie_of(request)
        session = self._sessions.find(name, touch=touch) if name else None
        if session is None:
            return None
        try:
            who = await self._gatekeeper.recheck(request, session.shown)
        except Refused as refused:
            if refused.status == 503:
                raise
            who = ""
        if who != session.who:
            self._sessions.end(name)
            return None
        return session

    def sign_out(self, request: web.BaseRequest) -> None:
        """End the request's session."""
        self._sessions.end(_cookie_of(request))

    def check_origin(self, request: web.BaseRequest) -> None:
        """Refuse a form that no browser says came from a page of ours. Raises Refused: 403."""
        self._gatekeeper.check_site(request)
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site != "same-origin" and origin is None:
            raise self._gatekeeper.foreign(request, "a form that says not whence it comes")

    def check_form(
        self, request: web.BaseRequest, session: Session, form: Mapping[str, str]
    ) -> None:
        """Refuse a form that is not the session's own. Raises Refused: 403."""
        if not hmac.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
            raise self._gatekeeper.foreign(request, "a form without its session's token")

    def _begin(self, request: web.BaseRequest, who: str, shown: tuple[str, ...]) -> str:
        name, _ = self._sessions.begin(who, shown)
        log.info("%s signed in to the console from %s", who, request.remote)
        return name


async def read_form(request: web.BaseRequest) -> Mapping[str, str]:
    """Return the fields of a posted form.

    Raises:
        Refused: 400, 408, 413 or 415.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused(415, "expected a form")
    try:
        body = await read_body(request, _MOST_BYTES, _BODY_SECONDS)
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, strict_parsing=True
        )
    except BodyRefused as refused:
        raise Refused(refused.status, refused.message, {"Connection": "close"}) from None
    except ValueError:
        raise Refused(400, "the form cannot be read") from None
    return dict(fields)


def set_cookie(request: web.BaseRequest, response: web.Response, name: str) -> None:
    """Give the browser the session's name; an empty one takes it back."""
    is_secure = _is_secure(request)
    response.set_cookie(
        SECURE_COOKIE if is_secure else COOKIE,
        name,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="Strict",
        max_age=None if name else 0,
    )


def way_back(wanted: str) -> str:
    """Return where to go after signing in: a page of ours, whatever is asked for."""
    is_ours = wanted.startswith("/console/") and wanted.isascii() and wanted.isprintable()
    return wanted if is_ours and "\\" not in wanted else "/console/"


def _cookie_of(request: web.BaseRequest) -> str:
    secure = request.cookies.get(SECURE_COOKIE, "")
    # Over TLS nobody's but that counts: another host of the domain could have set the plain one.
    return secure if secure or request.secure else request.cookies.get(COOKIE, "")


def _is_secure(request: web.BaseRequest) -> bool:
    """Say whether the browser speaks TLS, be it with a proxy in front of us."""
    return request.secure or urlsplit(request.headers.get("Origin", "")).scheme == "https"

"""A request to the token endpoint, read by RFC 6749: who asks, for which scopes and audiences."""

import hmac
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote_plus

_MAX_PARAMETERS = 50
_FORM = "application/x-www-form-urlencoded"
# RFC 8707, 2, and RFC 8693, 2.1 let these be there several times; no other may (RFC 6749, 3.2).
_REPEATABLE = ("audience", "resource")

ErrorCode = Literal[
    "invalid_request",
    "invalid_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
]


@dataclass(frozen=True, slots=True)
class Client:
    """Who may ask for tokens: its credentials, the ``sub`` it gets and the scopes it may have."""

    client_id: str
    secret: str = field(repr=False)
    subject: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is to be granted. Made by ``read_token_request`` alone."""

    client: Client
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]


class TokenRefused(Exception):
    """No token; why, in the words of RFC 6749, 5.2 and RFC 8707, 2."""

    def __init__(self, error: ErrorCode, description: str) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description

    @property
    def status(self) -> int:
        """The HTTP status (RFC 6749, 5.2): 401 for ``invalid_client``, else 400."""
        return 401 if self.error == "invalid_client" else 400

    def members(self) -> dict[str, str]:
        """Return the members of the answer's JSON object."""
        return {"error": self.error, "error_description": self.description}

    def challenge(self) -> dict[str, str]:
        """Return the header that a 401 has to carry (RFC 9110, 15.5.2), if this is one."""
        if self.error != "invalid_client":
            return {}
        return {"WWW-Authenticate": 'Basic realm="token", charset="UTF-8"'}


def read_token_request(
    content_type: str,
    authorization: Sequence[str],
    body: bytes,
    clients: Iterable[Client],
    audiences: Sequence[str],
) -> TokenRequest:
    """Read a client-credentials request (RFC 6749, 4.4.2) of one of ``clients``.

    Args:
        content_type: the body's media type, without parameters.
        authorization: the values of every ``Authorization`` line.
        body: as it was posted.
        clients: who may ask.
        audiences: whom a token may be for; the first one where none is named.

    Raises:
        TokenRefused: with the error that the client is to be told.
    """
    form = _read_form(content_type, body)
    client = _authenticate(authorization, form, clients)
    grant_type = form.get("grant_type", [""])[0]
    if not grant_type:
        raise TokenRefused("invalid_request", "grant_type is missing")
    if grant_type != "client_credentials":
        raise TokenRefused("unsupported_grant_type", "only client_credentials is supported")
    return TokenRequest(client, _read_scopes(form, client), _read_audiences(form, audiences))


def _read_form(content_type: str, body: bytes) -> dict[str, list[str]]:
    if content_type != _FORM:
        raise TokenRefused("invalid_request", f"the body has to be {_FORM}")
    try:
        pairs = parse_qsl(body.decode("utf-8"), errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise TokenRefused("invalid_request", "the body cannot be read") from None
    # parse_qsl left empty values out. RFC 6749, 3.2: "Parameters sent without a value MUST be
    # treated as if they were omitted".
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    for name, values in form.items():
        if len(values) > 1 and name not in _REPEATABLE:
            raise TokenRefused("invalid_request", "a parameter is there more than once")
    return form


def _authenticate(
    authorization: Sequence[str], form: Mapping[str, Sequence[str]], clients: Iterable[Client]
) -> Client:
    posted_id = form.get("client_id", [""])[0]
    posted_secret = form.get("client_secret", [""])[0]
    if authorization:
        # RFC 6749, 2.3: "The client MUST NOT use more than one authentication method".
        if posted_secret or len(authorization) > 1:
            raise TokenRefused("invalid_request", "more than one client authentication")
        client_id, secret = _read_basic(authorization[0])
        if posted_id not in ("", client_id):
            raise TokenRefused("invalid_request", "client_id is not who authenticates")
    else:
        client_id, secret = posted_id, posted_secret
    found = next((client for client in clients if client.client_id == client_id), None)
    # Compared for an unknown client too, so that the time does not tell which ids exist.
    expected = "" if found is None else found.secret
    is_same = hmac.compare_digest(secret.encode(), expected.encode())
    if found is None or not found.secret or not is_same:
        raise TokenRefused("invalid_client", "unknown client or wrong secret")
    return found


def _read_basic(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise TokenRefused("invalid_client", "only Basic is supported in Authorization")
    try:
        text = b64decode(credentials.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = text.partition(":")
        # RFC 6749, 2.3.1: both are form-urlencoded before they are put into Basic.
        decoded = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        raise TokenRefused("invalid_client", "the Basic credentials cannot be read") from None
    if not colon:
        raise TokenRefused("invalid_client", "the Basic credentials have no colon")
    return decoded


def _read_scopes(form: Mapping[str, Sequence[str]], client: Client) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(form.get("scope", [""])[0].split()))
    # RFC 6749, 3.3: without a scope the server uses its default, here all that the client may have.
    if not asked:
        return client.scopes
    if not set(asked) <= set(client.scopes):
        raise TokenRefused("invalid_scope", "the client may not have all of these scopes")
    return asked


def _read_audiences(form: Mapping[str, Sequence[str]], audiences: Sequence[str]) -> tuple[str, ...]:
    named = (value for name in _REPEATABLE for value in form.get(name, ()))
    asked = tuple(dict.fromkeys(named))
    if not set(asked) <= set(audiences):
        # RFC 8707, 2: whom the server does not know, it issues no token for.
        raise TokenRefused("invalid_target", "no such audience here")
    return asked or tuple(audiences[:1])

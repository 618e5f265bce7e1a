"""A client's request to an OAuth 2.0 endpoint: its form, and who asks (RFC 6749, 2.3 and 3.2).

The revocation endpoint (RFC 7009) reads its requests by it, and so does the demo's token endpoint.
"""

import hmac
from base64 import b64decode
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote_plus

_MAX_PARAMETERS = 50
_FORM = "application/x-www-form-urlencoded"

ErrorCode = Literal[
    "invalid_request",
    "invalid_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "unsupported_token_type",
    "temporarily_unavailable",
]


class Client(Protocol):
    """Who may ask. A client without a secret cannot authenticate."""

    @property
    def client_id(self) -> str: ...

    @property
    def secret(self) -> str: ...


C = TypeVar("C", bound=Client)


class ClientRefused(Exception):
    """The request is refused; why, in the words of RFC 6749, 5.2, RFC 7009, 2.2.1 and RFC 8707."""

    def __init__(self, error: ErrorCode, description: str) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description

    @property
    def status(self) -> int:
        """The HTTP status (RFC 6749, 5.2; RFC 7009, 2.2.1): 401, 503 or 400."""
        match self.error:
            case "invalid_client":
                return 401
            case "temporarily_unavailable":
                return 503
            case _:
                return 400

    def members(self) -> dict[str, str]:
        """Return the members of the answer's JSON object."""
        return {"error": self.error, "error_description": self.description}

    def headers(self) -> dict[str, str]:
        """Return the headers that the status has to carry (RFC 9110, 15.5.2; RFC 7009, 2.2.1)."""
        match self.error:
            case "invalid_client":
                return {"WWW-Authenticate": 'Basic realm="oauth2", charset="UTF-8"'}
            case "temporarily_unavailable":
                return {"Retry-After": "1"}
            case _:
                return {}


def read_form(
    content_type: str, body: bytes, repeatable: Collection[str] = ()
) -> dict[str, list[str]]:
    """Read a form's parameters; one without a value is left out.

    Args:
        content_type: the body's media type, without parameters.
        body: as it was posted.
        repeatable: names that may be there several times; no other may (RFC 6749, 3.2).

    Raises:
        ClientRefused: ``invalid_request``.
    """
    if content_type != _FORM:
        raise ClientRefused("invalid_request", f"the body has to be {_FORM}")
    try:
        pairs = parse_qsl(body.decode("utf-8"), errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise ClientRefused("invalid_request", "the body cannot be read") from None
    # parse_qsl left empty values out. RFC 6749, 3.2: "Parameters sent without a value MUST be
    # treated as if they were omitted".
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    for name, values in form.items():
        if len(values) > 1 and name not in repeatable:
            raise ClientRefused("invalid_request", "a parameter is there more than once")
    return form


def authenticate(
    authorization: Sequence[str], form: Mapping[str, Sequence[str]], clients: Iterable[C]
) -> C:
    """Return which of ``clients`` asks, by Basic or by its secret in the form (RFC 6749, 2.3.1).

    ``authorization`` are the values of every ``Authorization`` line.

    Raises:
        ClientRefused: ``invalid_client``, or ``invalid_request`` for more than one way at once.
    """
    posted_id = form.get("client_id", [""])[0]
    posted_secret = form.get("client_secret", [""])[0]
    if authorization:
        # RFC 6749, 2.3: "The client MUST NOT use more than one authentication method".
        if posted_secret or len(authorization) > 1:
            raise ClientRefused("invalid_request", "more than one client authentication")
        client_id, secret = _read_basic(authorization[0])
        if posted_id not in ("", client_id):
            raise ClientRefused("invalid_request", "client_id is not who authenticates")
    else:
        client_id, secret = posted_id, posted_secret
    found = next((client for client in clients if client.client_id == client_id), None)
    # Compared for an unknown client too, so that the time does not tell which ids exist.
    expected = "" if found is None else found.secret
    is_same = hmac.compare_digest(secret.encode(), expected.encode())
    if found is None or not found.secret or not is_same:
        raise ClientRefused("invalid_client", "unknown client or wrong secret")
    return found


def _read_basic(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise ClientRefused("invalid_client", "only Basic is supported in Authorization")
    try:
        text = b64decode(credentials.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = text.partition(":")
        # RFC 6749, 2.3.1: both are form-urlencoded before they are put into Basic.
        decoded = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        raise ClientRefused("invalid_client", "the Basic credentials cannot be read") from None
    if not colon:
        raise ClientRefused("invalid_client", "the Basic credentials have no colon")
    return decoded

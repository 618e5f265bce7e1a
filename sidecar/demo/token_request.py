"""A request to the token endpoint, read by RFC 6749: who asks, for which scopes and audiences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.core.client_request import ClientRefused, authenticate, read_form

# RFC 8707, 2, and RFC 8693, 2.1 let these be there several times; no other may (RFC 6749, 3.2).
_REPEATABLE = ("audience", "resource")


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
        ClientRefused: with the error that the client is to be told.
    """
    form = read_form(content_type, body, _REPEATABLE)
    client = authenticate(authorization, form, clients)
    grant_type = form.get("grant_type", [""])[0]
    if not grant_type:
        raise ClientRefused("invalid_request", "grant_type is missing")
    if grant_type != "client_credentials":
        raise ClientRefused("unsupported_grant_type", "only client_credentials is supported")
    return TokenRequest(client, _read_scopes(form, client), _read_audiences(form, audiences))


def _read_scopes(form: Mapping[str, Sequence[str]], client: Client) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(form.get("scope", [""])[0].split()))
    # RFC 6749, 3.3: without a scope the server uses its default, here all that the client may have.
    if not asked:
        return client.scopes
    if not set(asked) <= set(client.scopes):
        raise ClientRefused("invalid_scope", "the client may not have all of these scopes")
    return asked


def _read_audiences(form: Mapping[str, Sequence[str]], audiences: Sequence[str]) -> tuple[str, ...]:
    named = (value for name in _REPEATABLE for value in form.get(name, ()))
    asked = tuple(dict.fromkeys(named))
    if not set(asked) <= set(audiences):
        # RFC 8707, 2: whom the server does not know, it issues no token for.
        raise ClientRefused("invalid_target", "no such audience here")
    return asked or tuple(audiences[:1])

"""``sidecar account revoke-tokens``, ``token revoke`` and ``realm revoke-tokens``."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from sidecar import app
from sidecar.adapters.clock import SystemClock
from sidecar.cli.common import (
    Audit,
    Config,
    Realm,
    actor,
    choose_realm,
    load_settings,
    read_token_file,
    stop,
    wait_for,
)
from sidecar.core.bearer import read_bearer
from sidecar.core.claims import read_expiry, read_token_id
from sidecar.core.decision import Denied
from sidecar.core.subject import SubjectKey
from sidecar.core.token import read_token
from sidecar.observability.process_log import timestamp
from sidecar.ports import AccountNotFound, Contended
from sidecar.revocations import Revocations
from sidecar.settings import Settings

R = TypeVar("R")

_LAST_DATE = 253_402_300_799  # the year 9999 ends

token_cli = typer.Typer(help="Revoke single tokens.", no_args_is_help=True)
realm_cli = typer.Typer(help="Emergencies: revoke a whole realm's tokens.", no_args_is_help=True)


def revoke_subject_tokens(
    subject: Annotated[str, typer.Argument(help="The token's `sub`, verbatim.")],
    realm: Realm = None,
    config: Config = None,
) -> None:
    """Revoke every token that a program has by now; with a new one it is let in again.

    Tokens issued within the second of the revocation are refused too.
    """
    settings = load_settings(config)
    key = SubjectKey(choose_realm(settings, realm), subject)
    account = _revoke(settings, lambda revocations: revocations.revoke_subject_tokens(key))
    typer.echo(f"tokens of {subject} issued before {_shown(account.not_before)} are revoked")


@token_cli.command("revoke")
def revoke_token(
    token_file: Annotated[
        str | None, typer.Option("--token-file", help="A file with the token; - reads stdin.")
    ] = None,
    jti: Annotated[str | None, typer.Option("--jti", help="The token's id, its `jti`.")] = None,
    expires_at: Annotated[
        int | None,
        typer.Option(
            "--expires-at",
            min=0,
            max=_LAST_DATE,
            help="The token's `exp` (epoch seconds): until then it is remembered.",
        ),
    ] = None,
    realm: Realm = None,
    config: Config = None,
) -> None:
    """Revoke one token, by itself or by its `jti`, until it would have expired.

    A token is read without a look at its signature, and never printed.
    """
    if (token_file is None) == (jti is None):
        stop("give --token-file, or --jti with --expires-at", 2)
    settings = load_settings(config)
    if token_file is not None:
        if expires_at is not None or realm is not None:
            stop("the token itself says its realm and when it expires; leave those options out", 2)
        place, token_id, expiry = _read(read_token_file(token_file), settings)
    else:
        if expires_at is None or jti is None:
            stop("give --expires-at too, the token's `exp`: until then its `jti` is remembered", 2)
        place, token_id = choose_realm(settings, realm), _check_token_id(jti)
        expiry = float(expires_at)
    _revoke(settings, lambda revocations: revocations.revoke_token(place, token_id, expiry))
    typer.echo(f"the token is revoked; it would have expired at {_shown(expiry)}")


@realm_cli.command("revoke-tokens")
def revoke_realm_tokens(
    realm: Annotated[str, typer.Argument(help="The realm.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Revoke every token of a realm: each of its programs has to get a new one.

    Tokens issued within the second of the revocation are refused too.
    """
    settings = load_settings(config)
    choose_realm(settings, realm)
    if not yes:
        typer.confirm(
            f"Every program of realm {realm} is refused until it has a new token, and its open"
            " streams end. Revoke?",
            abort=True,
            err=True,
        )
    not_before = _revoke(settings, lambda revocations: revocations.revoke_realm_tokens(realm))
    typer.echo(f"tokens of realm {realm} issued before {_shown(not_before)} are revoked")


def _read(text: str, settings: Settings) -> tuple[str, str, float]:
    """Return realm, ``jti`` and ``exp`` of a token that nobody vouches for."""
    realms = {issuer.issuer: issuer.realm for issuer in settings.issuers}
    try:
        found = read_token(read_bearer((f"Bearer {text}",), settings.limits.max_token_bytes))
        token_id, expires_at = read_token_id(found.sealed_claims), read_expiry(found.sealed_claims)
    except Denied as denied:
        stop(f"this is no access token: {denied.detail}; was it cut or quoted?", 2)
    place = realms.get(found.issuer)
    if place is None:
        stop("the token's issuer is none of `issuers` in the settings, so it is refused anyway", 2)
    if token_id is None:
        stop(
            "the token has no `jti` by which it could be told from others; revoke all tokens of its"
            " subject with `sidecar account revoke-tokens SUBJECT`",
            2,
        )
    return place, token_id, expires_at


def _check_token_id(jti: str) -> str:
    try:
        return read_token_id({"jti": jti}) or ""
    except Denied as denied:
        stop(f"this is no token's id: {denied.detail}", 2)


def _revoke(settings: Settings, act: Callable[[Revocations], Awaitable[R]]) -> R:
    async def perform() -> R:
        async with app.open_store(settings) as store, app.open_audit(settings, Audit()) as audit:
            return await act(Revocations(store, SystemClock(), audit, actor=actor()))

    try:
        return wait_for(perform(), settings, writes=True)
    except AccountNotFound as missing:
        key = missing.args[0]
        stop(
            f"there is no service account {key.subject} in realm {key.realm}, so its tokens are"
            " refused unless a route forwards the unregistered; there, shut it out with"
            f" `sidecar account create {key.subject} --disable`",
            1,
        )
    except Contended as problem:
        stop(str(problem), 3)


def _shown(moment: float) -> str:
    """Return epoch seconds as people read them; what is beyond the calendar stays a number."""
    return timestamp(moment) if moment <= _LAST_DATE else f"{moment:g}"

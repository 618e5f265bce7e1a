"""``sidecar explain``: why would this token, on this path, be granted or denied? Step by step."""

from collections.abc import Iterator
from typing import Annotated

import typer

from sidecar.adapters.clock import SystemClock
from sidecar.app.asking import open_authorizer
from sidecar.cli.common import Config, bare, load_settings, read_token_file, stop, wait_for
from sidecar.cli.denied import Case, other_names, shown
from sidecar.cli.mistakes import likely_mistakes
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.evidence import Evidence
from sidecar.core.groups import ACCOUNT_GROUPS
from sidecar.core.request import AccessRequest
from sidecar.core.shadow import judge_in_shadow
from sidecar.core.subject import SubjectKey, is_subject
from sidecar.observability import process_log
from sidecar.ports import AccountView

_PATIENCE_SECONDS = 8.0
_MOST_SHOWN = 10

# What whoever runs the program or the sidecar can do about each denial.
REMEDIES = {
    DenyReason.MALFORMED_REQUEST: (
        "send a plain path; `tolerate` in the settings lists what can be allowed"
    ),
    DenyReason.TOO_SLOW: ("raise `listen.head_timeout`, or lower `listen.min_body_rate`"),
    DenyReason.UNTRUSTED_PEER: ("name the proxy that asks in `forward_auth.trusted_proxies`"),
    DenyReason.METHOD_REFUSED: ("CONNECT, TRACE and methods in lower case are never forwarded"),
    DenyReason.EXPECTATION_REFUSED: ("send no `Expect`, or `Expect: 100-continue`"),
    DenyReason.NO_ROUTE: ("add the path to `routes`, or use the preset that has it"),
    DenyReason.NO_CREDENTIALS: ("send `Authorization: Bearer <token>`"),
    DenyReason.MALFORMED_CREDENTIALS: (
        "send exactly one `Authorization: Bearer <token>`, and none in the query"
    ),
    DenyReason.TOKEN_UNREADABLE: (
        "this is no JWT access token; was it cut, quoted, an ID token, or opaque? The last needs"
        " the issuer's `introspection`"
    ),
    DenyReason.TOKEN_TOO_LARGE: ("ask for fewer scopes or groups, or raise limits.max_token_bytes"),
    DenyReason.ALGORITHM_REFUSED: (
        "add the algorithm to the issuer's `algorithms` if the provider signs with it"
    ),
    DenyReason.UNKNOWN_ISSUER: (
        "add the token's issuer to `issuers`, byte for byte, slash at the end included"
    ),
    DenyReason.UNKNOWN_KEY: ("the provider does not publish this key; is jwks_url the right one?"),
    DenyReason.BAD_SIGNATURE: ("the token was changed on the way, or made with another key"),
    DenyReason.TOKEN_EXPIRED: ("get a new token; if it is new, compare the clocks"),
    DenyReason.TOKEN_NOT_YET_VALID: (
        "compare the clocks of provider and sidecar, or set the issuer's `leeway`"
    ),
    DenyReason.CLAIMS_REFUSED: ("the provider must set the claim; see the detail"),
    DenyReason.WRONG_AUDIENCE: (
        "request the token for this API, or add its audience to `audiences`"
    ),
    DenyReason.TOKEN_INACTIVE: (
        "get a new token; the provider says that this one is expired, revoked or not its own"
    ),
    DenyReason.TOKEN_REVOKED: ("get a new token; this one was revoked"),
    DenyReason.SUBJECT_UNKNOWN: (
        "let it in with `sidecar account create <sub>`; the sub is printed above"
    ),
    DenyReason.SUBJECT_INACTIVE: ("let it in again with `sidecar account enable <sub>`"),
    DenyReason.INSUFFICIENT_SCOPE: ("request the token with the scopes that the route asks for"),
    DenyReason.MISSING_GROUP: (
        "add a group: with `sidecar account update <sub> --groups ...`, or at the provider where"
        " the issuer's groups_from is claim"
    ),
    DenyReason.BINDING_MISSING: (
        "ask the provider for a token that is bound (cnf), as the issuer's `dpop` or `mtls` demands"
    ),
    DenyReason.BINDING_REFUSED: (
        "the token is bound: send it as `Authorization: DPoP` with a proof by its own key, or with"
        " its own client certificate; and set the issuer's `dpop` or `mtls` so that it is checked"
    ),
    DenyReason.PROOF_REFUSED: (
        "send one `DPoP` header with a new proof for this method, URL and token; compare the clocks"
        " and `bound_tokens.public_urls`"
    ),
    DenyReason.PROOF_REPLAYED: ("sign a new proof, with a new jti, for each request"),
    DenyReason.PROOF_WITHOUT_NONCE: ("sign a new proof with the `DPoP-Nonce` of the answer"),
    DenyReason.KEYS_UNAVAILABLE: (
        "the provider's keys cannot be fetched: see sidecar_jwks_fetches_total"
    ),
    DenyReason.INTROSPECTION_UNAVAILABLE: (
        "the provider's introspection endpoint does not answer: see sidecar_introspections_total"
    ),
    DenyReason.STATUS_LIST_UNAVAILABLE: (
        "the provider's status list cannot be fetched: see sidecar_status_list_fetches_total"
    ),
    DenyReason.STATUS_UNAVAILABLE: (
        "the account store cannot be asked: is accounts.url right, and is it running?"
    ),
    DenyReason.RATE_LIMITED: "ask more slowly, or raise the limit in `rate_limit` or the route's",
    DenyReason.TOO_MANY_CONCURRENT: "wait for answers before you ask again, or raise `concurrent`",
    DenyReason.OVERLOADED: "try again; see `limits.max_in_flight` and `limits.max_lag`",
    DenyReason.INTERNAL_ERROR: ("this is a defect of ours; the log has the traceback"),
}


def explain(
    request: Annotated[str, typer.Argument(help='Method and path, such as "GET /api/userinfo".')],
    token: Annotated[
        str | None,
        typer.Option("--token", help="The access token. Others can see it in the process list."),
    ] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", help="A file with the token; - reads stdin.")
    ] = None,
    config: Config = None,
) -> None:
    """Say step by step why a request would be granted or denied; exit code 0 or 1.

    It asks the identity provider and the account store as the sidecar does, and prints no token.
    3 means that one of them cannot be asked now.
    """
    method, _, target = request.strip().partition(" ")
    if not target.startswith(("/", "*")):
        stop('name a method and a path, such as "GET /api/userinfo"', 2)
    path, _, query = target.partition("?")
    credential = _read_token(token, token_file)
    settings = load_settings(config)
    process_log.configure("error")  # what is away is said below, and not line by line
    authorization = () if credential is None else (f"Bearer {credential}",)
    asked = AccessRequest(method, "explain", path, query, authorization, "127.0.0.1", "explain")

    async def ask() -> tuple[Decision, Evidence, list[str]]:
        typer.echo("asking the identity provider and the account store ...", err=True)
        async with open_authorizer(settings, _PATIENCE_SECONDS) as (authorizer, accounts):
            decision, evidence = await authorizer.explain(asked)
            return decision, evidence, await _registered_names(decision, evidence, accounts)

    decision, evidence, registered = wait_for(ask(), settings)
    now = SystemClock().now()
    for line in _steps(asked, decision, evidence, now):
        typer.echo(line)
    if isinstance(decision, Deny):
        rules = settings.issuer_rules()
        _say_mistakes(Case(credential or "", decision, evidence, rules, registered, now))
    raise typer.Exit(_exit_code(decision))


def _say_mistakes(case: Case) -> None:
    for mistake in likely_mistakes(case):
        typer.echo(f"mistake    {mistake}")


async def _registered_names(
    decision: Decision, evidence: Evidence, accounts: AccountView
) -> list[str]:
    """Return the names other than `sub` under which the token's client has an account."""
    issuer = evidence.issuer
    if issuer is None or not isinstance(decision, Deny):
        return []
    if decision.reason is not DenyReason.SUBJECT_UNKNOWN:
        return []
    found = []
    for name in filter(is_subject, other_names(evidence)):
        standing = await accounts.read(SubjectKey(issuer.realm, name), None)
        if standing.account is not None:
            found.append(name)
    return found


def _exit_code(decision: Decision) -> int:
    if isinstance(decision, Grant):
        return 0
    return 3 if decision.reason.http_status == 503 else 1


def _steps(
    asked: AccessRequest, decision: Decision, evidence: Evidence, now: float
) -> Iterator[str]:
    yield f"request    {asked.method} {asked.path}"
    if evidence.route is not None:
        requirement = evidence.route.requirement
        needs = "a bearer token" if requirement.bearer else "nothing: it is an open route"
        if requirement.nobody:
            needs = "what nobody has: no other route matches"
        if requirement.scopes:
            needs += f", scopes {' '.join(sorted(requirement.scopes))}"
        if requirement.groups:
            needs += f", one of the groups {', '.join(sorted(requirement.groups))}"
        yield f"route      {evidence.route.name} ({evidence.route.pattern}) needs {needs}"
    yield from _token_steps(evidence, now)
    yield from _binding_steps(evidence)
    if evidence.standing is not None:
        account = evidence.standing.account
        yield "account    " + (
            "none"
            if account is None
            else f"{account.status.value}, groups {', '.join(account.groups) or 'none'}"
        )
    yield from _group_steps(evidence)
    match decision:
        case Grant():
            yield "decision   granted"
        case Deny() as deny:
            yield f"decision   denied: {deny.reason.value} ({deny.detail})"
            yield f"client     sees {deny.reason.http_status} {deny.reason.error_code}"
            yield f"remedy     {REMEDIES[deny.reason]}"
            if isinstance(judge_in_shadow(deny, asked), Grant):
                yield "shadow     it passes all the same: nothing is enforced on this route"


def _token_steps(evidence: Evidence, now: float) -> Iterator[str]:
    if evidence.token is not None:
        token = evidence.token
        yield (
            f"token      alg {shown(token.algorithm)}, kid {shown(token.kid)},"
            f" typ {shown(token.token_type)}, iss {shown(token.issuer)}"
        )
    if evidence.issuer is not None:
        yield f"issuer     known, realm {evidence.issuer.realm}"
    if evidence.claims is not None:
        claims = evidence.claims
        yield (
            "signature  good"
            if evidence.token is not None
            else "answer     active, by introspection"
        )
        yield f"subject    {claims.subject}"
        yield (
            f"claims     aud {', '.join(sorted(claims.audiences)) or 'none'};"
            f" scopes {' '.join(sorted(claims.scopes)) or 'none'};"
            f" client {claims.client_id or 'unknown'};"
            f" expires in {claims.expires_at - now:.0f} s"
        )


def _binding_steps(evidence: Evidence) -> Iterator[str]:
    """Say what the token is bound to, and what its issuer's settings make of that."""
    issuer, claims = evidence.issuer, evidence.claims
    bound = None if claims is None else claims.confirmation
    if issuer is None or bound is None:
        return
    ways = [
        f"{what} ({name}: {binding.value})"
        for thumbprint, what, name, binding in (
            (bound.key, "a key", "dpop", issuer.binding.dpop),
            (bound.certificate, "a certificate", "mtls", issuer.binding.mtls),
        )
        if thumbprint is not None
    ]
    if bound.has_others:
        ways.append("something that is not known here")
    yield f"binding    to {' and '.join(ways)}; no proof of it is shown here"


def _group_steps(evidence: Evidence) -> Iterator[str]:
    """Say what counts where that is not simply what the account has."""
    issuer, claims, standing = evidence.issuer, evidence.claims, evidence.standing
    if issuer is None or claims is None or standing is None or issuer.groups == ACCOUNT_GROUPS:
        return
    groups = issuer.groups.of_caller(claims.groups, standing.account)
    source = "the account" if issuer.groups.claim is None else f"the claim {issuer.groups.claim}"
    yield f"groups     {', '.join(groups) or 'none'}; from {source}, under their group_names"
    left_out = issuer.groups.left_out(claims.raw)
    if left_out:
        names = ", ".join(shown(name) for name in left_out[:_MOST_SHOWN])
        yield (
            f"left out   {names}{', ...' if left_out[_MOST_SHOWN:] else ''}: no name of a group (a"
            " comma, a letter beyond ASCII), or one that group_names gives to others"
        )


def _read_token(token: str | None, token_file: str | None) -> str | None:
    if token is not None and token_file is not None:
        stop("give --token or --token-file, not both", 2)
    if token_file is not None:
        return read_token_file(token_file)
    return None if token is None else bare(token)

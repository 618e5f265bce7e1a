"""What the page on errors says that the code does not: what each means, and what to do about it."""

from typing import NamedTuple

from sidecar.ports import UpstreamError


class Remedy(NamedTuple):
    """In short for the table, what it means, and what the client does about it."""

    short: str
    meaning: str
    what_to_do: str


OF_CLIENTS: dict[tuple[int, str], Remedy] = {
    (400, "invalid_request"): Remedy(
        "send it otherwise",
        "The request cannot be read in one way only: an ambiguous path (`..`, `//`, `%2f`, `;`),"
        " two `Authorization` headers, a token in the query, a header that would pass for an"
        " identity header.",
        "Mend the request. The same one is refused again.",
    ),
    (401, "unauthorized"): Remedy(
        "send a token", "There is no token in the request.",
        "Get an access token and send it as `Authorization: Bearer <token>`, in one header.",
    ),
    (401, "invalid_token"): Remedy(
        "get a new token, once",
        "The token is not good, or not any more, or who it is for has no active account. Which of"
        " these it is only the operator can see.",
        "Get a new token and try once more. If that is refused too, stop, and show the operator the"
        " `request_id`: more tries change nothing.",
    ),
    (401, "invalid_dpop_proof"): Remedy(
        "sign a new proof", "The token is bound to a key (RFC 9449), and its proof is not good, or"
        " was used before.",
        "Sign a new proof for this method, URL and token, with a new `jti`, and look at the clock.",
    ),
    (401, "use_dpop_nonce"): Remedy(
        "sign a proof with the nonce", "Proofs have to carry a nonce (RFC 9449, 9), and this one"
        " has none, or an old one.",
        "Sign a new proof with the `DPoP-Nonce` of this answer, and send the request again.",
    ),
    (403, "forbidden"): Remedy(
        "ask the operator",
        "Who asks is known, or does not matter: nobody may do this, or not this account.",
        "Do not try again. The path is not served, or the account lacks a group.",
    ),
    (403, "insufficient_scope"): Remedy(
        "get a token with the scopes", "The token lacks scopes that the path asks for;"
        " `WWW-Authenticate` names them in `scope`.",
        "Get a token with these scopes, if the provider gives them.",
    ),
    (405, "method_not_allowed"): Remedy(
        "use another method", "The method is one that is never forwarded: CONNECT, TRACE, or one"
        " that is not written in capitals.",
        "Use one of those in `Allow`.",
    ),
    (408, "request_timeout"): Remedy(
        "send faster", "The request's head or body came too slowly, or stopped.",
        "Try again, over a better line.",
    ),
    (417, "expectation_failed"): Remedy(
        "leave `Expect` out", "The request has an `Expect` header that is not `100-continue`.",
        "Leave the header out: no other expectation can be met.",
    ),
    (429, "rate_limited"): Remedy(
        "wait for `Retry-After`", "The account, or on an open route the address, has reached its"
        " limit: requests a second, or requests at one time. `RateLimit` and `RateLimit-Policy` say"
        " which.",
        "Wait for as many seconds as `Retry-After` says, and ask more slowly from then on.",
    ),
    (500, "server_error"): Remedy(
        "report it", "A defect of the sidecar's.",
        "Report it with the `request_id`.",
    ),
    (502, "bad_gateway"): Remedy(
        "try again later", "Upstream cannot be reached, or what it said is no HTTP.",
        "Try again later where that is safe: whether upstream has acted is not known, unless it"
        " could not be connected to.",
    ),
    (503, "temporarily_unavailable"): Remedy(
        "wait, and try again", "The sidecar cannot say now whether the request may pass, or has"
        " too much to do, or upstream is known to be down. Nothing reached upstream.",
        "Wait for as many seconds as `Retry-After` says, and try again, each time after a longer"
        " pause.",
    ),
    (504, "gateway_timeout"): Remedy(
        "try again later", "Upstream did not answer in time.",
        "Try again later where that is safe: whether upstream has acted is not known.",
    ),
}  # fmt: skip

OF_UPSTREAM: dict[UpstreamError, str] = {
    UpstreamError.CONNECT: "is it running at `upstream.url`, and reachable from here?",
    UpstreamError.CONNECT_TIMEOUT: (
        "it did not accept within `upstream.connect_timeout`, or all `upstream.max_connections`"
        " were in use"
    ),
    UpstreamError.CIRCUIT_OPEN: "its probes fail: see `sidecar_upstream_healthy`",
    UpstreamError.TLS: "its certificate is not the one expected: see `upstream.tls`",
    UpstreamError.FIRST_BYTE_TIMEOUT: (
        "it took longer than `upstream.first_byte_timeout` to begin its answer"
    ),
    UpstreamError.IDLE_TIMEOUT: "nothing was sent for `upstream.idle_timeout`",
    UpstreamError.RESET: (
        "it broke the connection off; is `upstream.keep_alive` shorter than its own?"
    ),
    UpstreamError.MALFORMED: "it does not speak HTTP there, or its answer is ambiguous",
}

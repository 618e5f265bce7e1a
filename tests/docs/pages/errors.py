"""``docs/errors.md``: each error that a client can see, what to do, and what stands behind it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from sidecar.cli.explain import REMEDIES
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.protection import Realm
from sidecar.fronts.grpc_proxy.status import status_of, status_of_failure
from sidecar.fronts.refusal import Refusal, refusal_of, upstream_refusal
from sidecar.ports import UpstreamError
from tests.docs.pages.remedies import OF_CLIENTS, OF_UPSTREAM
from tests.docs.pages.template import NONE, cell, fill_in

Reason = DenyReason | UpstreamError


@dataclass
class Error:
    """What clients see: a status and a word, the same for all reasons of one kind."""

    status: int
    error: str
    grpc: list[str] = field(default_factory=list)
    challenges: list[str] = field(default_factory=list)
    retry_after: str = ""
    reasons: list[Reason] = field(default_factory=list)


def errors_page() -> str:
    """Return the page."""
    found = errors()
    table = ["| HTTP | `error` | gRPC | `Retry-After` | in short |", "|---|---|---|---|---|"]
    for each in found:
        anchor = f"[{each.status}](#{each.status}-{each.error})"
        short = OF_CLIENTS[each.status, each.error].short
        codes = ", ".join(f"`{code}`" for code in each.grpc)
        table.append(f"| {anchor} | `{each.error}` | {codes} | {each.retry_after} | {short} |")
    sections = "\n\n".join("\n".join(_section(each)) for each in found)
    return fill_in("errors", table="\n".join(table), sections=sections)


def errors() -> list[Error]:
    """Return each error and the reasons behind it, as the doors answer."""
    found: dict[tuple[int, str], Error] = {}
    for reason in (*DenyReason, *UpstreamError):
        refusal, code = _answers_of(reason)
        kind = (refusal.status, str(json.loads(refusal.body)["error"]))
        each = found.setdefault(kind, Error(*kind))
        fields = {name.decode(): value.decode() for name, value in refusal.fields}
        each.reasons.append(reason)
        # A limit says itself when it is worth while to come again.
        each.retry_after = "until then" if kind[0] == 429 else fields.get("Retry-After", NONE)
        _add(each.grpc, code)
        _add(each.challenges, fields.get("WWW-Authenticate", ""))
    return [found[kind] for kind in sorted(found)]


def _add(seen: list[str], text: str) -> None:
    if text and text not in seen:
        seen.append(text)


def _answers_of(reason: Reason) -> tuple[Refusal, str]:
    """Return what is answered over HTTP, and the code in gRPC."""
    if isinstance(reason, UpstreamError):
        return upstream_refusal(reason, request_id="r"), status_of_failure(reason).code.name
    deny, realm = Deny(reason), Realm()
    status = status_of(deny, realm=realm, request_id="r")
    return refusal_of(deny, realm=realm, request_id="r"), status.code.name


def _section(each: Error) -> Iterator[str]:
    remedy = OF_CLIENTS[each.status, each.error]
    yield f"## {each.status} {each.error}\n"
    yield f"{remedy.meaning}\n"
    yield f"**What to do:** {remedy.what_to_do}\n"
    for challenge in each.challenges:
        yield f"`WWW-Authenticate: {challenge}`\n"
    yield "| `reason` in the log and the metrics | for whoever runs the sidecar |"
    yield "|---|---|"
    for reason in each.reasons:
        if isinstance(reason, DenyReason):
            yield f"| `{reason.value}` | {cell(REMEDIES[reason])} |"
        else:
            yield f"| `{reason.value}` (of upstream) | {cell(OF_UPSTREAM[reason])} |"

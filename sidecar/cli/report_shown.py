"""The report in words and in JSON. What came out of a log is printed as text, never obeyed."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from sidecar.cli.common import plain
from sidecar.cli.explain import REMEDIES
from sidecar.cli.report_tally import Caller, OfCaller, Refusals, Tally
from sidecar.core.decision import DenyReason
from sidecar.core.subject import is_subject

_WIDTH = 160
_REMEDIES = {reason.value: remedy for reason, remedy in REMEDIES.items()}
# These have a command each, for each caller.
_REMEDIES |= dict.fromkeys(("subject_unknown", "subject_inactive"), "let it in: see the commands")
_COMMANDS = {
    DenyReason.SUBJECT_UNKNOWN: "create",
    DenyReason.SUBJECT_INACTIVE: "enable",
}

K = TypeVar("K")
V = TypeVar("V", bound=Refusals)


def json_of(tally: Tally, top: int) -> str:
    """Return the report as JSON, in ASCII."""
    members = {
        "first": tally.first,
        "last": tally.last,
        "requests": tally.requests,
        "granted": tally.granted,
        "would_be_refused": tally.refusals.shadowed,
        "refused": tally.refusals.refused,
        "streams_would_be_cut": dict(tally.cuts),
        "reasons": [
            {"reason": name, **_counts(each), "remedy": _remedy(name), "examples": [*each.examples]}
            for name, each in _worst(tally.reasons.found)
        ],
        "callers": [
            {**caller._asdict(), **_of_caller(each), "command": _command(caller, each)}
            for caller, each in _worst(tally.callers.found)[:top]
        ],
        "routes": [
            {"route": name, "granted": each.granted, **_counts(each), "reasons": each.reasons}
            for name, each in _worst(tally.routes.found)[:top]
        ],
        "beyond_the_bound": {
            "callers": None if tally.callers.others is None else _counts(tally.callers.others),
            "routes": None if tally.routes.others is None else _counts(tally.routes.others),
        },
        "lines": {"other": tally.other_lines, "left_out": tally.left_out},
        "ready": tally.is_ready,
        "verdict": _verdict(tally),
    }
    return json.dumps(members, indent=2)


def print_report(tally: Tally, top: int) -> None:
    """Print the report as tables, with what to do about each reason."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)  # a file has no edge at which words would be broken
    for line in _totals(tally):
        console.print(line, highlight=False)
    if tally.refusals.total:
        for table in (_by_reason(tally), _by_caller(tally, top), _by_route(tally, top)):
            console.print(table)
            console.print()
        for command in _commands(tally, top):
            console.print(command, soft_wrap=True, highlight=False)
    colour = "green" if tally.is_ready else "bold red"
    console.print(f"[{colour}]ready to enforce?[/] {_verdict(tally)}", highlight=False)


def _totals(tally: Tally) -> Iterator[str]:
    if tally.requests:
        yield f"{tally.requests} requests from {tally.first} to {tally.last}"
    yield (
        f"granted {tally.granted}, would have been refused {tally.refusals.shadowed},"
        f" refused {tally.refusals.refused}"
    )
    if tally.cuts:
        told = ", ".join(f"{reason} {count}" for reason, count in tally.cuts.most_common())
        yield f"streams that would have been cut: {told}"
    if tally.refusals.total and not tally.granted:
        yield "no grant is in this log: with log.decisions: denied none is written"
    if tally.other_lines:
        yield f"{tally.other_lines} other lines were skipped"
    if tally.left_out:
        yield f"{tally.left_out} decisions were left out by the options"
    for what, bounded in (("callers", tally.callers), ("routes", tally.routes)):
        if bounded.others is not None:
            yield (
                f"more than {len(bounded.found)} {what}: the {bounded.others.total} refusals of"
                " those that came later are told in sum alone"
            )


def _by_reason(tally: Tally) -> Table:
    table = _table("By reason", "reason", "would be", "refused", "such as", "what to do")
    for name, each in _worst(tally.reasons.found):
        examples = "\n".join(map(plain, filter(None, each.examples)))
        table.add_row(name, str(each.shadowed), str(each.refused), examples, plain(_remedy(name)))
    return table


def _by_caller(tally: Tally, top: int) -> Table:
    title = _title("By caller", len(tally.callers.found), top)
    table = _table(title, "caller", "would be", "refused", "reasons", "routes", "first and last")
    for caller, each in _worst(tally.callers.found)[:top]:
        table.add_row(
            _name(caller),
            str(each.shadowed),
            str(each.refused),
            _told(each.reasons),
            _told(each.routes),
            f"{each.first}\n{each.last}",
        )
    return table


def _by_route(tally: Tally, top: int) -> Table:
    title = _title("By route", len(tally.routes.found), top)
    table = _table(title, "route", "would be", "refused", "granted", "reasons")
    for name, each in _worst(tally.routes.found)[:top]:
        counts = (str(each.shadowed), str(each.refused), str(each.granted))
        table.add_row(plain(name) or "(none)", *counts, _told(each.reasons))
    return table


def _commands(tally: Tally, top: int) -> Iterator[str]:
    found = (_command(caller, each) for caller, each in _worst(tally.callers.found)[:top])
    commands = dict.fromkeys(filter(None, found))  # one subject may have had several clients
    if commands:
        yield "If they are meant to get in:"
        for command in commands:
            yield f"  {plain(command)}"


def _command(caller: Caller, of_caller: OfCaller) -> str:
    """Return what lets the caller in, where a command does; the shell takes it as one word each."""
    if not is_subject(caller.subject) or not caller.subject.isprintable():
        return ""
    for reason, verb in _COMMANDS.items():
        if of_caller.reasons[reason.value]:
            words = ["sidecar", "account", verb, f"--realm={caller.realm}", "--", caller.subject]
            return shlex.join(words)
    return ""


def _verdict(tally: Tally) -> str:
    if not tally.requests:
        return "nobody knows: there is no decision in this log"
    shadowed = tally.refusals.shadowed
    if not shadowed:
        return f"yes: none of {tally.requests} requests would have been refused by that"
    # Where no grant is logged there is nothing that it could be a share of.
    share = f" ({100 * shadowed / tally.requests:.2g} %)" if tally.granted else ""
    callers = sum(1 for each in tally.callers.found.values() if each.shadowed)
    many = "more than " if tally.callers.others is not None else ""
    return (
        f"not yet: {shadowed} of {tally.requests} requests{share} would have been refused,"
        f" of {many}{callers} caller{'s' if callers != 1 else ''}"
    )


def _remedy(reason: str) -> str:
    return _REMEDIES.get(reason, "this sidecar does not know it; see the log of the one that does")


def _name(caller: Caller) -> str:
    if not caller.subject:
        return f"unknown, from {plain(caller.peer) or 'nowhere'}"
    client = f"\nclient {plain(caller.client_id)}" if caller.client_id else ""
    return f"{plain(caller.subject)}\n{plain(caller.issuer)} ({plain(caller.realm)}){client}"


def _told(counted: Counter[str]) -> str:
    return "\n".join(f"{plain(name) or '(none)'} {count}" for name, count in counted.most_common())


def _counts(refusals: Refusals) -> dict[str, int]:
    return {"would_be_refused": refusals.shadowed, "refused": refusals.refused}


def _of_caller(each: OfCaller) -> dict[str, object]:
    told = {"reasons": each.reasons, "routes": each.routes}
    return {**_counts(each), **told, "first": each.first, "last": each.last}


def _worst(found: Mapping[K, V]) -> list[tuple[K, V]]:
    refused = [(name, each) for name, each in found.items() if each.total]
    return sorted(refused, key=lambda each: (-each[1].shadowed, -each[1].refused))


def _title(what: str, found: int, top: int) -> str:
    return what if found <= top else f"{what}, the first {top} of {found}"


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    table.columns[0].overflow = "fold"
    return table

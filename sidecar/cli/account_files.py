"""Accounts in files: JSON, YAML or CSV, each written so that it reads back as it was.

A file holds what people manage: subject, name, status and groups. It holds no revocation
(``not_before``), and reading one takes none back.

In CSV (RFC 4180, with a heading) the groups are one cell, joined by commas, which no group may
contain. A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage
return for a formula, and may run it; so such a cell is written with an apostrophe before it, and
one that begins with apostrophes before these with one more. Reading takes one away. An apostrophe
before anything else is text.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import PurePath

import yaml
from typing_extensions import override

from sidecar.core.strict_json import NotStrictJSON, read_json
from sidecar.core.subject import Account
from sidecar.core.wanted_accounts import FIELDS, NotAccounts, WantedAccount, read_wanted
from sidecar.settings.yaml_file import Document, read_yaml

_LIKE_A_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_SUFFIXES = {".json": "json", ".csv": "csv", ".yaml": "yaml", ".yml": "yaml"}


class Format(StrEnum):
    """How accounts are written."""

    JSON = "json"
    CSV = "csv"
    YAML = "yaml"


class _Dumper(yaml.SafeDumper):
    """PyYAML leaves some line ends (U+0085) as they are, and reads blanks for them."""

    @override
    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def format_of(place: str) -> Format | None:
    """Return the format that a file's name tells; None where it tells none."""
    found = _SUFFIXES.get(PurePath(place).suffix.lower())
    return None if found is None else Format(found)


def write_accounts(accounts: Iterable[Account], form: Format) -> str:
    """Return the accounts in this format."""
    rows = [_row(account) for account in accounts]
    match form:
        case Format.JSON:
            return json.dumps(rows, indent=2) + "\n"
        case Format.YAML:
            text: str = yaml.dump(rows, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
            return text
        case Format.CSV:
            return _write_csv(accounts)


def read_accounts(content: bytes, form: Format) -> list[WantedAccount]:
    """Return the accounts in a file of this format.

    Raises:
        NotAccounts: there are none, or one of them is wrong.
    """
    read = {Format.JSON: _read_json, Format.YAML: _read_yaml, Format.CSV: _read_csv}[form]
    return read_wanted(read(content), known_fields_only=True)


def _row(account: Account) -> dict[str, object]:
    return {
        "subject": account.subject,
        "name": account.name,
        "status": account.status.value,
        "groups": list(account.groups),
    }


def _read_json(content: bytes) -> object:
    try:
        return read_json(content)
    except NotStrictJSON as problem:
        raise NotAccounts(str(problem)) from None


def _read_yaml(content: bytes) -> object:
    found = Document()
    document = read_yaml(content, found)
    if found.problems:
        raise NotAccounts(str(found.problems[0]))
    return document


def _write_csv(accounts: Iterable[Account]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for each in accounts:
        cells = (each.subject, each.name, each.status.value, ",".join(each.groups))
        writer.writerow([_guarded(cell) for cell in cells])
    return text.getvalue()


def _read_csv(content: bytes) -> object:
    try:
        text = content.decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except UnicodeDecodeError:
        raise NotAccounts("not UTF-8") from None
    except csv.Error as problem:
        raise NotAccounts(f"not CSV: {problem}") from None
    if not lines:
        raise NotAccounts(f"the heading is missing: {','.join(FIELDS)}")
    heading, *rows = lines
    _check_heading(heading)
    return [_read_row(heading, row, number) for number, row in enumerate(rows, 1)]


def _check_heading(heading: Sequence[str]) -> None:
    strange = [name for name in heading if name not in FIELDS]
    if strange or len(set(heading)) < len(heading):
        raise NotAccounts(f"the heading is {','.join(heading)[:80]!a}, not {','.join(FIELDS)}")


def _read_row(heading: Sequence[str], row: Sequence[str], number: int) -> dict[str, object]:
    if len(row) != len(heading):
        raise NotAccounts(f"account {number}: {len(row)} cells under {len(heading)} headings")
    members: dict[str, object] = {
        name: _unguarded(cell) for name, cell in zip(heading, row, strict=True)
    }
    groups = str(members.pop("groups", "")).split(",")
    return {**members, "groups": [group.strip() for group in groups if group.strip()]}


def _guarded(cell: str) -> str:
    return f"'{cell}" if _LIKE_A_FORMULA.match(cell) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _LIKE_A_FORMULA.match(cell) else cell

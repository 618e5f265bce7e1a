"""The tables of this folder, read. A row with ``variants`` stands for as many rows."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sidecar.core.decision import Decision, Deny, Grant

HERE = Path(__file__).parent
Row = Mapping[str, Any]

TOKEN_FILES = ("tokens", "algorithms", "headers", "spellings", "claims", "signatures")


def rows(file: str, table: str) -> list[Row]:
    """Return the rows of one table: each variant is merged into the row that it belongs to."""
    found = tomllib.loads((HERE / f"{file}.toml").read_text("utf-8"))[table]
    return [row for each in found for row in _varied(each)]


def _varied(row: dict[str, Any]) -> Iterator[Row]:
    variants = row.pop("variants", None)
    if variants is None:
        yield row
        return
    for number, variant in enumerate(variants, start=1):
        merged = dict(row)
        for name, value in variant.items():
            nested = isinstance(value, dict) and isinstance(row.get(name), dict)
            merged[name] = {**row[name], **value} if nested else value
        yield {**merged, "name": f"{row['name']}, {number}"}


TOKENS_BY_FILE = {file: rows(file, "token") for file in TOKEN_FILES}
TOKENS = [row for file in TOKENS_BY_FILE.values() for row in file]
REQUESTS = rows("requests", "request")
CREDENTIALS = rows("credentials", "credential")


def named(row: Row) -> str:
    return str(row["name"])


def verdict(decision: Decision | None) -> str:
    match decision:
        case None:
            return "undecided"
        case Grant():
            return "granted"
        case Deny():
            assert len(decision.detail) < 120
            return decision.reason.value

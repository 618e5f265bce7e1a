"""Files of tokens: one good, ten thousand good, and what has to be refused."""

import secrets
from collections.abc import Iterable
from pathlib import Path

from tests.bench.peers.peer import SUBJECT
from tests.bench.site import Site


def write_tokens(file: Path, tokens: Iterable[str]) -> Path:
    file.write_text("".join(f"{token}\n" for token in tokens))
    return file


def distinct(site: Site, number: int) -> Iterable[str]:
    """Yield good tokens of one subject; they differ in their `jti`, and so in their signature."""
    return (site.token(SUBJECT) for _ in range(number))


def with_bad_signature(token: str) -> str:
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def expired(site: Site) -> str:
    """Return a token of an hour ago: no peer's leeway reaches so far."""
    return site.provider.issue("bench", lifetime=-3600, sub=SUBJECT)


def garbage() -> str:
    """Return what has the length of a token and is none."""
    return secrets.token_urlsafe(300)

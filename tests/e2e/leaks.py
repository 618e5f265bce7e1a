"""What no output of a sidecar may hold, looked for in all that the end-to-end tests make it write.

P28, bar 43: no token, no secret, no octet that could end a line or reach a terminal.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{5,}")
_SECRET_NAME = re.compile(r"(secret|password|token|api_key)(_file)?")


def check_written(lines: Iterable[str], settings: Mapping[str, Any]) -> None:
    """Fail where a line is none of ours, or tells what it must not.

    The last may be half of one: the process may have been killed while it wrote.
    """
    secrets = set(secrets_in(settings))
    for line in lines:
        if line.endswith("\n"):
            assert isinstance(json.loads(line), dict)
        assert line.removesuffix("\n").isprintable(), line
        check_told(line, secrets)


def check_told(text: str, secrets: Iterable[str] = ()) -> None:
    """Fail where the text holds what looks like a token, or one of these secrets."""
    assert not _TOKEN.search(text), text
    assert not [secret for secret in secrets if secret and secret in text], text


def secrets_in(settings: object) -> Iterator[str]:
    """Find what is secret in settings: passwords and the like, those in files and in URLs too."""
    for name, value in _members(settings):
        if not isinstance(value, str):
            yield from secrets_in(value)
        elif "://" in value:
            password = urlsplit(value).password
            if password:
                yield password
        elif found := _SECRET_NAME.fullmatch(name):
            file = Path(value)
            if found[2] is None:
                yield value
            elif file.is_file():
                yield file.read_text().strip()


def _members(settings: object) -> Iterable[tuple[str, object]]:
    if isinstance(settings, Mapping):
        return settings.items()
    return [("", value) for value in settings] if isinstance(settings, list | tuple) else []


def watching() -> aiohttp.TraceConfig:
    """Return what has a client look at each body of an error that it reads."""
    config = aiohttp.TraceConfig()
    config.on_request_end.append(_note_status)
    config.on_response_chunk_received.append(_check_body)
    return config


async def _note_status(
    _: aiohttp.ClientSession, context: SimpleNamespace, ended: aiohttp.TraceRequestEndParams
) -> None:
    context.failed = ended.response.status >= 400


async def _check_body(
    _: aiohttp.ClientSession,
    context: SimpleNamespace,
    received: aiohttp.TraceResponseChunkReceivedParams,
) -> None:
    if getattr(context, "failed", True):
        check_told(received.chunk.decode("latin-1"))

"""Settings from the environment: ``SIDECAR_UPSTREAM__URL`` is ``upstream.url``.

Two underscores lead into a section, a number picks an entry of a list. A value that begins with
``[`` or ``{`` is read as YAML, and ``null`` is nothing; where a list of texts is expected, commas
part them. A secret is always text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar.settings.problems import Problem
from sidecar.settings.yaml_file import Document, SettingPath, read_yaml

PREFIX = "SIDECAR_"
_NOT_SETTINGS = frozenset({"SIDECAR_CONFIG"})
# Kubernetes sets these in every pod of a namespace that has a Service named "sidecar", or
# "sidecar-admin". The last kind is told from a misspelled setting by its value alone.
_OF_KUBERNETES = re.compile(
    r"SIDECAR_(?:[A-Z0-9]+_)*(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)=.*"
    r"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?=.*"
    r"|PORT=(?:tcp|udp|sctp)://.*)",
    re.DOTALL,
)
_ENTRY = re.compile(r"[0-9]{1,3}")
_SECRETS = frozenset({"password", "secret"})


class FromEnvironment(str):
    """A text from the environment: where a list is expected, its commas part it."""

    __slots__ = ()


def overlay(
    values: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[SettingPath, str], list[Problem]]:
    """Put the environment's settings over ``values``; return each one's variable, and problems."""
    names: dict[SettingPath, str] = {}
    problems: list[Problem] = []
    for name, path, text in _settings_in(environ):
        try:
            _put(values, path, _read(path, text))
        except _CannotPut as problem:
            problems.append(Problem(name, str(problem)))
        else:
            names[path] = name
    return names, problems


class _CannotPut(Exception):
    """The message says what to do instead."""


def _settings_in(environ: Mapping[str, str]) -> Iterator[tuple[str, SettingPath, str]]:
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        if _OF_KUBERNETES.fullmatch(f"{name}={text}"):
            continue
        parts = name.removeprefix(PREFIX).lower().split("__")
        path = tuple(int(part) if _ENTRY.fullmatch(part) else part for part in parts)
        yield name, path, text


def _read(path: SettingPath, text: str) -> Any:
    if path[-1] in _SECRETS:
        return FromEnvironment(text)
    if text == "null":
        return None
    if not text.startswith(("[", "{")):
        return FromEnvironment(text)
    document = Document()
    value = read_yaml(text, document)
    if document.problems:
        raise _CannotPut(f"begins like a YAML list or mapping; {document.problems[0]}")
    return value


def _put(values: dict[str, Any], path: SettingPath, value: Any) -> None:
    place: Any = values
    for part, following in zip(path, (*path[1:], None), strict=True):
        if isinstance(part, int):
            if not isinstance(place, list) or part > len(place):
                raise _CannotPut(f"there is no entry {part} to set, nor is it the next one")
            if part == len(place):
                place.append(None)
        elif not isinstance(place, dict) or not part:
            raise _CannotPut("does not lead to a setting; sections are parted by two underscores")
        if following is None:
            place[part] = value
            return
        inner = place[part] if isinstance(part, int) else place.get(part)
        if inner is None:
            inner = place[part] = [] if isinstance(following, int) else {}
        place = inner

"""A YAML file, read strictly: no duplicate keys, no anchors, and each key's line remembered."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sidecar.settings.problems import Problem, place_of

_MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 20

# What PyYAML raises for a date in month 13, and for `!!int ""` and its kin.
_NO_SCALAR = (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError)
# A password that begins with one of YAML's own signs would be quoted as such a name.
_NAMED = re.compile(r"(alias|anchor|tag handle) .*", re.DOTALL)

SettingPath = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """What a file holds, on which line each setting stands, and what is wrong with the file."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[SettingPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_yaml_file(file: Path) -> Document:
    """Read a file; whatever is wrong with it is in the document's ``problems``."""
    document = Document()
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        document.problems.append(Problem("", f"cannot be read: {error.strerror}"))
        return document
    if len(text) > _MAX_BYTES:
        document.problems.append(Problem("", f"is larger than {_MAX_BYTES} bytes"))
        return document
    root = read_yaml(text, document)
    if isinstance(root, dict):
        document.values = root
    elif root is not None:
        document.problems.append(Problem("", "expected a mapping of names to values"))
    return document


def read_yaml(text: bytes | str, document: Document) -> Any:
    """Return what ``text`` says; lines and problems go into ``document``."""
    return _Reader(document).read(text)


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen: set[int] = set()

    def read(self, text: bytes | str) -> Any:
        loader: Any = None
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            return None if root is None else self._value(loader, root, ())
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            what = _NAMED.sub(r"\1", getattr(error, "problem", None) or "it cannot be parsed")
            self._document.problems.append(Problem("", f"is not YAML: {what}", where))
        finally:
            if loader is not None:
                loader.dispose()
        return None

    def _value(self, loader: Any, node: yaml.Node, path: SettingPath) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(loader, node, path)
        # An anchor that is used again is the same node; nested, it would grow without bound.
        if id(node) in self._seen or len(path) > _MAX_DEPTH:
            self._wrong(path, node, "anchors and such deep nesting are not supported")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path)
        return [
            self._value(loader, each, (*path, number)) for number, each in enumerate(node.value)
        ]

    def _scalar(self, loader: Any, node: yaml.ScalarNode, path: SettingPath) -> Any:
        try:
            return loader.construct_object(node)
        except _NO_SCALAR:
            self._wrong(path, node, "is not what it looks like; write it in quotes, without a tag")
            return None

    def _mapping(self, loader: Any, node: yaml.MappingNode, path: SettingPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value
            if not isinstance(name, str):
                self._wrong(path, name_node, "a name has to be a text")
                continue
            place = (*path, name)
            if name in found:
                self._wrong(place, name_node, "is there twice; keep one of them")
                continue
            self._document.lines[place] = name_node.start_mark.line + 1
            found[name] = self._value(loader, value_node, place)
        return found

    def _wrong(self, path: SettingPath, node: yaml.Node, text: str) -> None:
        where = f"line {node.start_mark.line + 1}"
        self._document.problems.append(Problem(place_of(path), text, where))

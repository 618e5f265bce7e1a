"""``docs/settings.md``: each setting, from the JSON Schema of the settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar.app.reloading import _FIXED
from sidecar.settings import schema
from tests.docs.pages.template import NONE, cell, fill_in

Node = Mapping[str, Any]

# What a reload refuses to change: what `reloading` names, and where the doors are.
DOORS = ("listen", "forward_auth", "ext_authz", "grpc")
RESTART = frozenset(
    {*_FIXED, *(f"{door}.{part}" for door in DOORS for part in ("host", "port"))}
    | {f"events.{part}" for part in ("host", "port", "tls")}
)


_KINDS = {
    "object": "names and values",
    "boolean": "`true`, `false`",
    "integer": "whole number",
    "number": "number",
    "path": "path",
    "password": "secret",
    "ipv4network": "network",
    "ipv6network": "network",
}


def settings_page() -> str:
    """Return the page."""
    whole = schema()
    definitions = whole["$defs"]
    scalars, sections = [], {}
    for name, node in whole["properties"].items():
        target = _section_of(node, definitions)
        if target is None:
            scalars.append(_row(name, node, definitions, whole.get("required", ())))
        else:
            path = f"{name}[]" if node.get("type") == "array" else name
            sections[name] = "\n".join(_section(path, node, target, definitions)).strip()
    return fill_in(
        "settings",
        names=", ".join(f"[{name}](#{name})" for name in sections),
        top="\n".join(_table(scalars)),
        sections="\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items()),
    )


def paths() -> list[str]:
    """Return the dotted path of each setting, sections included; lists end in ``[]``."""
    whole = schema()
    return list(_paths("", whole, whole["$defs"]))


def _paths(before: str, node: Node, definitions: Node) -> Iterator[str]:
    for name, child in node["properties"].items():
        path = f"{before}{name}" + ("[]" if _is_list_of_sections(child, definitions) else "")
        yield path
        target = _section_of(child, definitions)
        if target is not None:
            yield from _paths(f"{path}.", target, definitions)


def variable_of(path: str) -> str:
    """Return the variable of a setting: ``issuers[].realm`` is ``SIDECAR_ISSUERS__0__REALM``."""
    return "SIDECAR_" + path.replace("[]", ".0").replace(".", "__").upper()


def _is_list_of_sections(node: Node, definitions: Node) -> bool:
    return node.get("type") == "array" and _section_of(node, definitions) is not None


def _section(path: str, node: Node, target: Node, definitions: Node) -> Iterator[str]:
    about = node.get("description") or target.get("description")
    if about:
        yield f"{_plain(about)}\n"
    rows, inner = [], []
    for name, child in target["properties"].items():
        below = _section_of(child, definitions)
        if below is None:
            rows.append(_row(f"{path}.{name}", child, definitions, target.get("required", ())))
            continue
        deeper = f"{path}.{name}" + ("[]" if child.get("type") == "array" else "")
        inner.append((deeper, child, below))
    yield from _table(rows)
    for deeper, child, below in inner:
        mark = " ⟳" if deeper in RESTART else ""
        yield f"\n### {deeper}{mark}\n"
        yield from _section(deeper, child, below, definitions)


def _table(rows: list[str]) -> Iterator[str]:
    if rows:
        yield "| setting | type | default | meaning |"
        yield "|---|---|---|---|"
        yield from rows


def _row(path: str, node: Node, definitions: Node, required: Any) -> str:
    name = path.rpartition(".")[2]
    mark = " ⟳" if path in RESTART else ""
    default = "**needed**" if name in required else _default(node.get("default"))
    about = _plain(node.get("description", ""))
    cells = (f"`{path}`{mark}<br>`{variable_of(path)}`", _type(node, definitions), default, about)
    return "| " + " | ".join(map(cell, cells)) + " |"


def _default(value: Any) -> str:
    match value:
        case None | [] | {} | "":
            return NONE
        case bool():
            return f"`{str(value).lower()}`"
        case float() if value.is_integer():
            return f"`{int(value)}`"
        case list():
            return "`[" + ", ".join(map(str, value)) + "]`"
        case _:
            return f"`{value}`"


def _section_of(node: Node, definitions: Node) -> Node | None:
    """Return the section that a setting is, or a list of; None where it is a value."""
    for each in (node, node.get("items", {}), *node.get("anyOf", ())):
        target = definitions.get(each.get("$ref", "").rpartition("/")[2])
        if target is not None and "properties" in target:
            found: Node = target
            return found
    return None


def _type(node: Node, definitions: Node) -> str:
    if "$ref" in node:
        return _type(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in node:
        kinds = [_type(each, definitions) for each in node["anyOf"] if each.get("type") != "null"]
        return ", or ".join(dict.fromkeys(kinds))
    if "enum" in node or "const" in node:
        return ", ".join(f"`{each}`" for each in node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        return f"list of {_type(node['items'], definitions)}"
    return _KINDS.get(node.get("format") or node["type"], "text") + _bounds(node)


def _bounds(node: Node) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    above = node.get("exclusiveMinimum")
    if most is None:
        return ""
    if least is not None:
        return f", {least:g} to {most:.10g}"
    return f", above {above:g}, at most {most:.10g}" if above is not None else ""


def _plain(text: str) -> str:
    return " ".join(text.split())

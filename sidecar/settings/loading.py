"""Settings from a file and the environment, or every problem there is."""

import difflib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from sidecar.settings.environment import overlay
from sidecar.settings.model import Settings
from sidecar.settings.problems import Problem, SettingsProblems, place_of
from sidecar.settings.yaml_file import Document, SettingPath, read_yaml_file

_SECRETS = ("password", "token", "secret")
_LONGEST_SHOWN = 80

# aiohttp before 3.14.3: out-of-bounds read in the response parser (CVE-2026-69244) and request
# smuggling (CVE-2026-69243); its pure Python parser has had a smuggling bug of its own nearly
# every year (CVE-2026-111750).
_LEAST_AIOHTTP = (3, 14, 3)


def load(file: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of ``file``, those of the environment put over them.

    Raises:
        SettingsProblems: with every problem at once.
    """
    document = Document() if file is None else read_yaml_file(file)
    names, problems = overlay(document.values, environ)
    problems = [*document.problems, *problems]
    settings: Settings | None = None
    if not any(not problem.place for problem in problems):
        try:
            settings = Settings.model_validate(document.values)
        except ValidationError as error:
            problems.extend(_read_errors(error, document, names))
    if settings is None or problems:
        raise SettingsProblems("environment" if file is None else str(file), problems)
    return settings


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    found = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def check_http_library(version: str, *, has_c_parser: bool, settings: Settings) -> list[Problem]:
    """Return what is wrong with the aiohttp that runs: one that is known to be attacked."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    problems = []
    if numbers < _LEAST_AIOHTTP:
        problems.append(f"aiohttp {version} has known holes; install 3.14.3 or newer")
    if not has_c_parser:
        problems.append(
            "aiohttp runs without its C parser; unset AIOHTTP_NO_EXTENSIONS and install a wheel"
        )
    if settings.insecure_old_aiohttp:
        return []
    remedy = " (or set insecure_old_aiohttp: true)"
    return [Problem("", problem + remedy) for problem in problems]


def _read_errors(
    error: ValidationError, document: Document, names: Mapping[SettingPath, str]
) -> Iterable[Problem]:
    for each in error.errors(include_url=False):
        path = tuple(each["loc"])
        where = _where(path, document, names)
        yield Problem(place_of(path), _text(path, each), where)


def _where(path: SettingPath, document: Document, names: Mapping[SettingPath, str]) -> str:
    parts = [path[:length] for length in range(len(path), 0, -1)]
    for part in parts:
        if part in names:
            return names[part]
    for part in parts:
        if part in document.lines:
            return f"line {document.lines[part]}"
    # A section that does not exist was made by the variable that sets something in it.
    return next((name for part, name in names.items() if part[: len(path)] == path), "")


def _text(path: SettingPath, error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is no setting" + _suggestion(path)
        case "value_error":
            text = str(error["ctx"]["error"])
        case "tuple_type":
            text = "expected a list"
        case "model_type" | "dict_type":
            text = "expected a mapping of names to values"
        case _:
            text = "expected: " + str(error["msg"]).removeprefix("Input should be ")
    shown = _shown(path, error.get("input"))
    return f"{shown} \u2014 {text}" if shown else text


def _shown(path: SettingPath, value: Any) -> str:
    if not isinstance(value, str | int | float | bool):
        return ""
    text = str(value)
    if any(word in str(part) for part in path for word in _SECRETS) or "@" in text or "?" in text:
        return ""  # a URL may hold a password too
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def _suggestion(path: SettingPath) -> str:
    known = _names_at(Settings, path[:-1])
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"; did you mean {place_of((*path[:-1], near[0]))}?"
    return f"; there are {', '.join(sorted(known))}" if known else ""


def _names_at(model: Any, path: SettingPath) -> list[str]:
    for part in path:
        if isinstance(part, str):
            field = model.model_fields.get(part) if _is_model(model) else None
            model = _model_in(field.annotation) if field is not None else None
    return list(model.model_fields) if _is_model(model) else []


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _model_in(annotation: Any) -> Any:
    if _is_model(annotation):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        for each in get_args(annotation):
            found = _model_in(each)
            if found is not None:
                return found
    return None

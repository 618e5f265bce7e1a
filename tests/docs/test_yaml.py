"""The settings that the documents show load, completed by what every sidecar needs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.settings import Settings
from tests.docs.markdown import DOCUMENTS, Block, blocks_of, name_of
from tests.settings.desk import GOOD, Desk

# Blocks of YAML that are no settings of the sidecar: what they begin with, and what checks them.
NOT_SETTINGS = {
    r"# values\.yaml|mode: container|# Chart\.yaml": "the Helm chart's; tests/deploy renders it",
    r"apiVersion:": "a template of another chart, with parts of ours",
}

# Names of what is read when settings load. On the machine of a test it is another file.
_FILES = ("certificate", "key", "client_ca", "ca", "certificate_key", "jwks_file")
_SECRET = "a secret of a good length, for the documents' examples\n"


def yaml_blocks() -> list[Block]:
    return [block for page in DOCUMENTS for block in blocks_of(page) if block.language == "yaml"]


@pytest.mark.parametrize("block", yaml_blocks(), ids=lambda block: block.place)
def test_a_block_of_settings_loads(block: Block, tmp_path: Path) -> None:
    given = _settings_in(block)

    Desk(tmp_path).load({**_base_of(given), **_with_files(given, tmp_path)})


def _settings_in(block: Block) -> dict[str, Any]:
    """Return the settings that a block is, or has in its member of this name."""
    is_listed = any(re.match(beginning, block.text) for beginning in NOT_SETTINGS)
    if is_listed and "{{" in block.text:
        return {}
    given: dict[str, Any] = yaml.safe_load(block.text)
    if is_listed:
        return given.get("settings") or {}
    assert set(given) <= set(Settings.model_fields), "these are no settings: list the block"
    return given


def test_every_page_of_settings_is_looked_at() -> None:
    pages = {name_of(block.page) for block in yaml_blocks()}

    assert {"README.md", "docs/running.md", "docs/limits.md", "docs/revocation.md"} <= pages


def _base_of(given: dict[str, Any]) -> dict[str, Any]:
    """Return the least settings, with the issuers that the receivers of events are about."""
    receivers = given.get("events", {}).get("receivers", [])
    issuers = {name for each in receivers for name in each["subjects_of"]}
    more = [{"issuer": name, "audiences": ["api"]} for name in sorted(issuers)]
    return {**GOOD, "issuers": [*GOOD["issuers"], *more]}


def _with_files(value: Any, directory: Path) -> Any:
    """Return the settings with files and directories that are here in place of those named."""
    if isinstance(value, list):
        return [_with_files(each, directory) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, inner in value.items():
        if not isinstance(inner, str):
            found[name] = _with_files(inner, directory)
        elif name in _FILES or name.endswith("_file"):
            file = directory / f"{name}.txt"
            file.write_text(_SECRET)
            found[name] = str(file)
        else:
            found[name] = str(directory) if name.endswith("_dir") else inner
    return found

"""Each preset has a guide, and a guide says what it rests on."""

from pathlib import Path

import pytest

from sidecar.settings.presets import PRESETS
from tests.docs.markdown import ROOT, blocks_of, code_of, links_of, name_of

FOLDER = ROOT / "docs" / "providers"
INDEX = FOLDER / "README.md"
GUIDES = sorted(set(FOLDER.glob("*.md")) - {INDEX})


def test_the_table_names_every_preset_and_leads_to_every_guide() -> None:
    named, linked = set(code_of(INDEX)), {link.partition("#")[0] for link in links_of(INDEX)}

    assert PRESETS.keys() <= named
    assert {guide.name for guide in GUIDES} <= linked


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_a_guide_has_settings_an_account_and_a_token(guide: Path) -> None:
    shown = [block for block in blocks_of(guide) if block.language in {"yaml", "sh"}]

    assert any(f"preset: {guide.stem}" in block.text for block in shown)
    assert any("sidecar account create" in block.text for block in shown)
    assert any(block.text.startswith(("curl ", "gcloud ")) for block in shown)


@pytest.mark.parametrize("guide", sorted(set(GUIDES) - {FOLDER / "oidc.md"}), ids=name_of)
def test_a_guide_says_when_it_was_written_and_that_nothing_was_tried(guide: Path) -> None:
    text = " ".join(guide.read_text("utf-8").split())

    assert "2026" in text
    assert "tried with a live" in text

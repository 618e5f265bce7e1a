"""Links of the documents lead to files and headings that are there."""

from pathlib import Path

import pytest

from tests.docs.markdown import DOCUMENTS, ROOT, anchors_of, links_of, name_of

INDEX = ROOT / "docs" / "README.md"


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in links_of(page):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)

    assert broken == []


def test_the_index_leads_to_every_page() -> None:
    listed = {(INDEX.parent / link.partition("#")[0]).resolve() for link in links_of(INDEX)}
    pages = {page for page in DOCUMENTS if page.parent.is_relative_to(INDEX.parent)}

    assert pages - {INDEX} <= listed

"""The documents, taken apart: their fenced blocks, links, headings and what is set as code."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
# What is kept for readers; tests/bench/RESULTS.md is written by a program.
DOCUMENTS = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    }
)
_OPTIONS = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it is, its language and its text, without what indents it."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@cache
def tokens_of(page: Path) -> tuple[Token, ...]:
    """Return what the page consists of."""
    return tuple(_OPTIONS.parse(page.read_text("utf-8")))


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in their order."""
    return [
        Block(page, token.map[0] + 1 if token.map else 0, token.info.strip(), token.content)
        for token in tokens_of(page)
        if token.type == "fence"
    ]


def links_of(page: Path) -> Iterator[str]:
    """Return where the page's links lead."""
    for token in _inline(page):
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])


def anchors_of(page: Path) -> set[str]:
    """Return the names by which a heading of the page is linked to, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading, text in pairwise(tokens_of(page)):
        if heading.type == "heading_open":
            plain = "".join(child.content for child in text.children or ())
            name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            found.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return found


def code_of(page: Path) -> Iterator[str]:
    """Return what is set as code in the page's text."""
    for token in _inline(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def words_of(line: str) -> list[str]:
    """Return the words of a command, its comment left out; nothing where it is not whole."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def _inline(page: Path) -> Iterator[Token]:
    return (token for token in tokens_of(page) if token.type == "inline")

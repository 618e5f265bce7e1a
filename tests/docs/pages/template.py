"""The prose of pages that are made, beside this file; what is made goes where braces are."""

from pathlib import Path

NONE = "\N{EN DASH}"
"""What a cell says where there is nothing."""


def fill_in(page: str, **made: str) -> str:
    """Return the page of this name."""
    text = Path(__file__).with_name(f"{page}.md").read_text("utf-8")
    for name, part in made.items():
        placeholder = f"{{{name}}}"
        assert text.count(placeholder) == 1
        text = text.replace(placeholder, part.strip())
    return text


def cell(text: str) -> str:
    """Return it so that it does not end a table's cell."""
    return text.replace("|", "\\|")

"""Writes the pages that are made from the code: ``make docs``."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.docs.pages.errors import errors_page
from tests.docs.pages.metrics import metrics_page
from tests.docs.pages.settings import settings_page

ROOT = Path(__file__).parent.parent.parent.parent
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/errors.md": errors_page,
    "docs/metrics.md": metrics_page,
    "docs/settings.md": settings_page,
}


def main() -> None:
    """Write each page anew."""
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()

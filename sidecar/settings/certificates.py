"""Which certificates of ours the settings name."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel


def certificate_files(section: BaseModel, place: str = "") -> Iterator[tuple[str, Path]]:
    """Give each file that holds a certificate of ours, with the place that names it.

    A place is written as the settings are: ``listen.tls``, ``issuers[0].introspection``.
    """
    for name, value in section:
        if name == "certificate" and isinstance(value, Path):
            yield place, value
        for number, each in enumerate(value if isinstance(value, list | tuple) else [value]):
            if isinstance(each, BaseModel):
                here = f"{place}.{name}".removeprefix(".")
                yield from certificate_files(each, here if each is value else f"{here}[{number}]")

"""How many processes serve: a number, or one per core."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

MAX_WORKERS = 64


def _read_workers(value: Any) -> Any:
    if isinstance(value, str) and value != "auto":
        return int(value) if value.isascii() and value.isdigit() else value
    return value


def _count_of(value: Any) -> Any:
    if value == "auto" or (
        isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_WORKERS
    ):
        return value
    raise ValueError(f'expected 1 to {MAX_WORKERS}, or "auto" for one per core')


Workers = Annotated[
    Annotated[int, Field(ge=1, le=MAX_WORKERS)] | Literal["auto"],
    BeforeValidator(_count_of),
    BeforeValidator(_read_workers),
]

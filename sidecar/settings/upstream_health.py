"""How upstream is probed."""

import re
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sidecar.settings.fields import Seconds, Section

_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")
_Times = Annotated[int, Field(ge=1, le=100)]
_Status = Annotated[int, Field(ge=200, le=599)]


class Health(Section):
    """How upstream is probed. While no address is healthy, requests get 503 at once."""

    path: str | None = None
    """Path that is asked for, such as /api/healthz; without it a connection is enough."""
    interval: Seconds = 1.0
    """Seconds from one probe of an address to the next."""
    timeout: Seconds = 1.0
    """Seconds that a probe may take."""
    healthy_after: _Times = 1
    """Probes, or requests that try it, that have to go well in a row until it is asked again."""
    unhealthy_after: _Times = 3
    """Probes that have to fail in a row, or connections, until an address is asked no more."""
    expect_status: tuple[_Status, ...] = (200,)
    """What a probe has to be answered with."""
    readiness: bool = False
    """Whether the sidecar is unready while no address is healthy."""

    @field_validator("path")
    @classmethod
    def _is_target(cls, text: str | None) -> str | None:
        if text is not None and not _TARGET.fullmatch(text):
            raise ValueError("expected a path such as /api/healthz in plain characters")
        return text

    @field_validator("expect_status")
    @classmethod
    def _is_asked_for(cls, expected: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if not expected:
            raise ValueError("expected at least one, such as [200]")
        if info.data.get("path", "/") is None:
            raise ValueError("has no effect without a path: then a connection is enough")
        return expected

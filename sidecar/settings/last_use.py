"""Settings of what is recorded of the accounts' use."""

from typing import Annotated

from pydantic import Field

from sidecar.settings.fields import Section


class LastUse(Section):
    """Record when each account was last used, and how often, for `sidecar account list --unused`.

    The sidecar's Redis user needs rights to write for that. `last_use: {}` is enough.
    """

    every: Annotated[float, Field(ge=1, le=86400)] = 60.0
    """Seconds between two writes."""

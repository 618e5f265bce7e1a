"""Settings of the issuers' status lists (draft-ietf-oauth-status-list)."""

from typing import Annotated

from pydantic import Field, field_validator

from sidecar.core.issuer import StatusListRules
from sidecar.settings.fields import Section, Strings, split_url


class StatusList(Section):
    """Believing the issuer's status lists: a token whose list does not call it valid is refused."""

    required: bool = False
    """Refuse tokens that name no status list; without it those pass as they are."""
    uris: Strings
    """What the addresses of lists begin with, up to a slash; no other is ever fetched."""
    max_age: Annotated[float, Field(ge=5, le=86400)] = 300.0
    """Seconds that a list counts at most. It may say less itself (`ttl`, `exp`)."""

    @field_validator("uris")
    @classmethod
    def _are_places(cls, uris: tuple[str, ...]) -> tuple[str, ...]:
        if not uris:
            raise ValueError(
                "expected where the lists are, such as https://idp.example/statuslists/"
            )
        for uri in uris:
            url = split_url(uri, ("https", "http"))
            if not url.hostname or url.query or url.fragment or "@" in url.netloc:
                raise ValueError("expected a host and a path, without user, query or fragment")
            if not url.path.endswith("/"):
                # https://idp.example would let in https://idp.example.evil.example too.
                raise ValueError(f"{uri!r} has no slash at its end")
        return uris

    def rules(self) -> StatusListRules:
        """Return what the decision demands."""
        return StatusListRules(frozenset(self.uris), self.required)

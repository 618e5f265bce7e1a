"""What we are to clients that have no token yet: a protected resource (RFC 9728)."""

import re
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from sidecar.settings.fields import Section, Strings, split_url

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


# RFC 9728, 1.2: https and no fragment, and a query SHOULD NOT be there. It goes into the quoted
# string of a header, and its path has to be what a router sees.
_IDENTIFIER = re.compile(
    r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*/?"
)


def _is_identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(
            "expected an https URL of a host and perhaps a path, such as https://api.example.com/v1"
        )
    return text


def _is_page(text: str) -> str:
    split_url(text, ("https",))
    return text


Page = Annotated[str, AfterValidator(_is_page)]


class Resource(Section):
    """The metadata that are published, and that challenges point to."""

    identifier: Annotated[str, AfterValidator(_is_identifier)]
    """Our URL as clients know it, such as https://hoop.example.com/api; https."""
    authorization_servers: Strings | None = None
    """Issuers to name; without it those of `issuers`."""
    scopes: Strings | None = None
    """Scopes to name; without it those that routes ask for. Empty names none."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Name for people."""
    documentation: Page | None = None
    """Page for developers; https."""

    @property
    def path(self) -> str:
        """Return where the metadata are: RFC 9728, 3.1 inserts before the identifier's path."""
        return _WELL_KNOWN + urlsplit(self.identifier).path.rstrip("/")

    @property
    def metadata_url(self) -> str:
        """Return the whole address of the metadata."""
        return f"https://{urlsplit(self.identifier).netloc}{self.path}"

    def members(self, issuers: Iterable[str], scopes: Iterable[str]) -> dict[str, Any]:
        """Return the metadata (RFC 9728, 2); the arguments are what the rest of the settings say.

        An empty list is left out, as section 3.2 demands.
        """
        servers = issuers if self.authorization_servers is None else self.authorization_servers
        named = sorted(scopes) if self.scopes is None else self.scopes
        members = {
            "resource": self.identifier,
            "authorization_servers": list(servers),
            "bearer_methods_supported": ["header"],
            "scopes_supported": list(named),
            "resource_name": self.name,
            "resource_documentation": self.documentation,
        }
        return {name: value for name, value in members.items() if value}

"""What we protect, as challenges name it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Realm:
    """A protection space (RFC 9110, 11.5), and where its metadata are (RFC 9728), if anywhere."""

    name: str = "sidecar"
    metadata_url: str | None = None


SIDECAR = Realm()

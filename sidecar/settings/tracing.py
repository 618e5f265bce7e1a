"""Which requests are traced, and where their spans go."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from sidecar.core.trace import Follow
from sidecar.settings.fields import (
    ReadableFile,
    Seconds,
    Section,
    is_loopback,
    read_secret,
    split_url,
)

# RFC 9110, 5.1 and 5.5, without what only tolerant readers would take.
_HEADER = re.compile(
    r"(?P<name>[A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*"
    r"(?P<value>[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)"
)


def _is_endpoint(text: str) -> str:
    url = split_url(text, ("http", "https"))
    if not url.hostname or "@" in url.netloc or url.query or url.fragment:
        raise ValueError("expected a URL such as http://127.0.0.1:4318/v1/traces")
    if url.path in ("", "/"):
        raise ValueError("expected a whole URL; OTLP's path is /v1/traces mostly")
    return text


Name = Annotated[str, Field(min_length=1, max_length=255)]


class Tracing(Section):
    """Tracing with OpenTelemetry, by OTLP over HTTP. Needs the packages of lock/tracing.txt.

    Variables of its own (OTEL_…) are ignored.
    """

    endpoint: Annotated[str, AfterValidator(_is_endpoint)]
    """The collector's URL with its path, such as http://127.0.0.1:4318/v1/traces."""
    headers_file: ReadableFile | None = None
    """File with a header of each export a line, such as `Authorization: Bearer …`. Secret, so by
    https, or to this machine."""
    ca: ReadableFile | None = None
    """PEM file with the authorities to trust instead of those that come with the library."""
    timeout: Seconds = 5.0
    """Seconds for one export, its repetitions included."""
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the requests that are sampled, of those that continue nobody's trace."""
    follow: Follow = Follow.TRUSTED
    """Whose traces are continued, and whose word counts on whether they are sampled: of peers in
    trusted_proxies (trusted), of every client (all), or of nobody."""
    max_per_second: Annotated[float, Field(gt=0, le=100_000)] = 100.0
    """Requests that are sampled in a second at most, of all workers, whoever asks for it."""
    service_name: Name = "sidecar"
    """Name of the service in its spans."""
    resource: dict[Name, Name] = Field(default_factory=dict, max_length=32)
    """Further attributes of the service, such as `deployment.environment.name`."""
    callers: bool = False
    """Whether spans name who was calling: subject, client and the client's address."""
    queue: Annotated[int, Field(ge=64, le=1_000_000)] = 2048
    """Spans that may wait to be exported, per worker; more are dropped and counted."""
    flush_seconds: Seconds = 2.0
    """Seconds at the end, or at a reload, to export what waits."""

    @field_validator("headers_file")
    @classmethod
    def _stays_secret(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        url = split_url(info.data.get("endpoint", "https://"), ("http", "https"))
        if file is not None and url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError("would be sent in the clear; use https in tracing.endpoint")
        return file

    def read_headers(self) -> Mapping[str, str]:
        """Return the headers of each export.

        Raises:
            OSError, ValueError: there is no such file, or not a header in each line.
        """
        if self.headers_file is None:
            return {}
        headers = {}
        for number, line in enumerate(read_secret(self.headers_file).splitlines(), 1):
            found = _HEADER.fullmatch(line.strip())
            if found is None:
                raise ValueError(f"headers_file: line {number} is no header such as `Name: value`")
            headers[found["name"]] = found["value"]
        return headers

"""Kinds of values that several sections share. Messages say what is expected, and the remedy."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from sidecar.settings.environment import FromEnvironment


class Section(BaseModel):
    """A part of the settings: immutable, and nothing unknown in it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


def read_list(value: Any) -> Any:
    """Part a text from the environment at its commas; refuse any other text."""
    if isinstance(value, FromEnvironment):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, str):
        raise ValueError(f"expected a list of strings, for example [{value!r}]")  # noqa: TRY004
    return value


def _readable(path: Path) -> Path:
    # Opening a pipe would wait for its writer, and a second reader would find it empty.
    if path.exists() and not path.is_file():
        raise ValueError("is no file; name one that can be read")
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}; name a file that can") from None


def _is_directory(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("is no directory; make it, or leave the setting out")
    return path


Strings = Annotated[tuple[str, ...], BeforeValidator(read_list)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
Directory = Annotated[Path, AfterValidator(_is_directory)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]

_LONGEST_SECRET = 4096

_REALM = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _is_realm(text: str) -> str:
    if not _REALM.fullmatch(text):
        raise ValueError("expected 1 to 64 letters, digits, dots, underscores or hyphens")
    return text


Realm = Annotated[str, AfterValidator(_is_realm)]


def split_url(text: str, schemes: Iterable[str]) -> SplitResult:
    """Return a URL's parts.

    Raises:
        ValueError: it is no absolute URL of one of ``schemes``, written in lower case.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("expected a URL") from None
    del port  # read for its check alone
    if (
        not text.startswith(tuple(f"{scheme}://" for scheme in schemes))
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise ValueError(
            f"expected a URL that begins with {' or '.join(f'{s}://' for s in schemes)}"
        )
    return url


def is_loopback(host: str) -> bool:
    """Say whether who listens on ``host`` is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(file: Path) -> str:
    """Return a secret from a file, without the line end that editors leave.

    Raises:
        OSError, ValueError: there is no such file, or it holds no secret.
    """
    with file.open("rb") as stream:
        octets = stream.read(_LONGEST_SECRET + 1)
    try:
        secret = octets.decode().strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("holds no UTF-8 text") from None
    if not secret or len(octets) > _LONGEST_SECRET:
        raise ValueError(f"expected a file of 1 to {_LONGEST_SECRET} bytes")
    return secret


class ServerTls(Section):
    """TLS of a listener (1.2 at least)."""

    certificate: ReadableFile
    """PEM file with the certificate and its chain."""
    key: ReadableFile
    """PEM file with the private key."""
    client_ca: ReadableFile | None = None
    """PEM file with authorities; then each client has to show a certificate of theirs."""


class ClientTls(Section):
    """TLS of a connection that the sidecar makes (1.2 at least)."""

    ca: ReadableFile | None = None
    """PEM file with the authorities to trust instead of the system's."""
    certificate: ReadableFile | None = None
    """PEM file with our own certificate, where the other side asks for one."""
    key: ReadableFile | None = None
    """PEM file with its private key, where that is not in the certificate's file."""

    @field_validator("key")
    @classmethod
    def _goes_with_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if key is not None and info.data.get("certificate", key) is None:
            raise ValueError("is of no use without a certificate; name that too")
        return key

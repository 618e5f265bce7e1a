"""The admin listener's settings: who may revoke tokens there, and who may use its API."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from sidecar.settings.fields import (
    Port,
    ReadableFile,
    Section,
    ServerTls,
    Strings,
    is_loopback,
    read_secret,
)

# RFC 6749, 2.3.1: what takes a password "MUST" be protected "against brute force attacks". Nobody
# types this one: its length does it.
_LEAST_SECRET = 16


class RevocationClient(Section):
    """A program that may revoke tokens at the admin listener (RFC 7009)."""

    client_id: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")]
    """Its name (RFC 6749); the audit record names it."""
    secret: SecretStr | None = None
    """Its secret, of 16 characters at least; better in a file."""
    secret_file: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """File with its secret."""

    @field_validator("secret")
    @classmethod
    def _is_long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            _check_length(secret.get_secret_value())
        return secret

    @field_validator("secret_file")
    @classmethod
    def _is_the_one(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is None:
            if "secret" in info.data and info.data["secret"] is None:
                raise ValueError("is missing, and so is secret; one of them is needed")
            return None
        if info.data.get("secret") is not None:
            raise ValueError("there is a secret too; keep one of them")
        _check_length(read_secret(file))
        return file

    def read_secret(self) -> str:
        """Return the secret, from its file where it has one.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        if self.secret_file is not None:
            return read_secret(self.secret_file)
        return "" if self.secret is None else self.secret.get_secret_value()


class Admin(Section):
    """The listener for operators: /livez, /readyz, /metrics, which ask for no sign-in.

    With `revocation_clients` also /oauth2/revoke, and with `tokens`, `secret_file` or a
    `tls.client_ca` the API at /api/ and the console at /console/; these do. Whoever may use the API
    may do all that it can.
    """

    host: str = "127.0.0.1"
    """Address to listen on; keep it where only operators and Prometheus get."""
    port: Port = 9090
    """Port to listen on; 0 lets the system choose."""
    insecure_http: bool = False
    """Allow sign-ins beyond loopback without TLS: tokens and secrets pass by unencrypted."""
    tls: ServerTls | None = None
    """Speak TLS; who shows a certificate of `client_ca` may use the API. Nobody has to show one."""
    tokens: bool = False
    """Let access tokens of `issuers` use the API, of active accounts in one of `groups`."""
    groups: Annotated[Strings, Field(min_length=1)] = ("admin",)
    """Groups whose members may use the API by their access token."""
    secret_file: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """File with a secret that may use the API, of 16 characters at least."""
    console: bool = True
    """Show the console at /console/, to whoever may use the API; without an API there is none."""
    audit_entries: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Changes that are kept in the account store, about; /api/audit shows them."""
    revocation_clients: tuple[RevocationClient, ...] = ()
    """Who may revoke tokens at /oauth2/revoke (RFC 7009); without any there is no such path."""

    @property
    def has_api(self) -> bool:
        """Whether anybody may use the API; without, it is not there."""
        return self.tokens or self.secret_file is not None or self._knows_certificates

    @property
    def _knows_certificates(self) -> bool:
        return self.tls is not None and self.tls.client_ca is not None

    @field_validator("tokens")
    @classmethod
    def _pass_safely(cls, tokens: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's
        if tokens:
            _check_privacy(info.data)
        return tokens

    @field_validator("secret_file")
    @classmethod
    def _is_safe(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None:
            _check_length(read_secret(file))
            _check_privacy(info.data)
        return file

    @field_validator("revocation_clients")
    @classmethod
    def _are_safe(
        cls, clients: tuple[RevocationClient, ...], info: ValidationInfo
    ) -> tuple[RevocationClient, ...]:
        counts = Counter(client.client_id for client in clients)
        twice = [client_id for client_id, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is there twice; give each a name of its own")
        if clients:
            _check_privacy(info.data)
        return clients

    def read_secret(self) -> str | None:
        """Return the API's secret, if there is one.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        return None if self.secret_file is None else read_secret(self.secret_file)


def _check_privacy(admin: Mapping[str, Any]) -> None:
    reachable = not is_loopback(admin.get("host", "localhost"))
    if reachable and admin.get("tls", ...) is None and not admin.get("insecure_http"):
        raise ValueError(
            "tokens and secrets would pass the network unencrypted; set admin.tls, or let"
            " admin.host be 127.0.0.1, with TLS in front (or set admin.insecure_http: true)"
        )


def _check_length(secret: str) -> None:
    if len(secret) < _LEAST_SECRET:
        raise ValueError(f"expected {_LEAST_SECRET} characters at least; make it by chance")

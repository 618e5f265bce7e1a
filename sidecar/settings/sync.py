"""Settings of keeping the accounts in step with the gateway's."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sidecar.settings.fields import ReadableFile, Realm, Section, read_secret, split_url


class Sync(Section):
    """Keeping the accounts in step with the gateway's: it says who there is.

    Of `token_file`, `api_key_file` and `token_url` exactly one says how to sign in there. An
    identity of the gateway that may do nothing else is enough to list accounts.
    """

    every: Annotated[float, Field(ge=0.1, le=86400)] = 60.0
    """Seconds between two syncs."""
    gateway_url: str | None = None
    """Where the gateway's API is; without it at `upstream.url`."""
    insecure_http: bool = False
    """Allow http:// for `token_url`: whoever stands between gets the client's secret."""
    token_file: ReadableFile | None = None
    """File with an access token; read anew for each sync."""
    api_key_file: ReadableFile | None = None
    """File with the gateway's API key. It is an administrator: better use a token."""
    token_url: Annotated[str | None, Field(validate_default=True)] = None
    """Token endpoint of the identity provider, for tokens by client credentials (RFC 6749, 4.4)."""
    client_id: Annotated[str | None, Field(validate_default=True)] = None
    """Our client id there."""
    secret_file: Annotated[ReadableFile | None, Field(validate_default=True)] = None
    """File with our client secret there."""
    scope: str | None = None
    """Scope to ask for there, where the provider wants one."""
    audience: str | None = None
    """Audience to ask for there, where the provider wants one (Auth0)."""
    realm: Realm | None = None
    """Realm of the accounts; needed where the issuers have several."""
    reenable: bool = False
    """Enable again what was disabled here and is active in the gateway."""
    disable_vanished: bool = True
    """Disable accounts that the gateway does not list. They are never deleted."""
    max_disabled_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Part of the active accounts that may vanish at once; of more, none is disabled for that.

    Five may in any case, but not all because the list is empty. 1 believes every list.
    """
    max_accounts: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Accounts that the list may have, and 1 MiB for each thousand of them."""
    timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Seconds that the gateway, and the identity provider, may take to answer."""

    @field_validator("gateway_url")
    @classmethod
    def _is_url(cls, text: str | None) -> str | None:
        if text is not None:
            url = split_url(text, ("https", "http"))
            if url.query or url.fragment or url.username is not None:
                raise ValueError("expected scheme, host, port and perhaps a path, nothing else")
        return text

    @field_validator("token_url")
    @classmethod
    def _is_the_only_one(cls, text: str | None, info: ValidationInfo) -> str | None:
        files = ("token_file", "api_key_file")
        if not all(name in info.data for name in files):
            return text  # what is wrong with them is told already
        ways = [name for name in files if info.data[name] is not None]
        ways += [] if text is None else ["token_url"]
        if len(ways) != 1:
            raise ValueError(
                f"there is {' and '.join(ways) or 'none'} of token_file, api_key_file and"
                " token_url; one of them is needed, to sign in at the gateway"
            )
        if text is not None:
            schemes = ("https", "http") if info.data.get("insecure_http") else ("https",)
            split_url(text, schemes)
        return text

    @field_validator("client_id")
    @classmethod
    def _identifies(cls, text: str | None, info: ValidationInfo) -> str | None:
        _check_belongs(text, info)
        return text

    @field_validator("secret_file")
    @classmethod
    def _is_secret(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        _check_belongs(file, info)
        if file is not None:
            read_secret(file)
        return file

    def read_credential(self) -> str:
        """Return what is in the file of the token, the API key or the client's secret.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        file = self.token_file or self.api_key_file or self.secret_file
        return "" if file is None else read_secret(file)

    def token_parameters(self) -> dict[str, str]:
        """Return what is asked of the token endpoint beside the grant."""
        asked = {"scope": self.scope, "audience": self.audience}
        return {name: value for name, value in asked.items() if value is not None}


def _check_belongs(value: object, info: ValidationInfo) -> None:
    if "token_url" in info.data and (value is None) != (info.data["token_url"] is None):
        raise ValueError("token_url, client_id and secret_file belong together; set all, or none")

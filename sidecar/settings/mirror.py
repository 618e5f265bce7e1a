"""Settings of what follows changes of the gateway's service accounts."""

from pydantic import Field

from sidecar.settings.fields import Section, Strings


class Mirror(Section):
    """Follow what passes by to the Hoop gateway's `/api/serviceaccounts`.

    An account that is made or changed there is in Redis before the caller has the answer. The
    sidecar's Redis user needs the rights of whoever manages accounts.
    """

    realm: str = "default"
    """Realm of the gateway's subjects."""
    admin_groups: Strings = Field(default=("admin",), validate_default=True)
    """Groups whose members have accounts shut out before the gateway has agreed."""

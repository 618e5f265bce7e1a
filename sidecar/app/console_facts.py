"""What the console has to know of the settings."""

from sidecar.admin.console.backing import Facts, KnownIssuer
from sidecar.settings import Settings


def facts_of(settings: Settings) -> Facts:
    """Return what the pages show of the settings; no secret is in it."""
    upstream, keys = settings.upstream, settings.keys
    return Facts(
        issuers=tuple(
            KnownIssuer(each.issuer, each.realm, keys.max_age, keys.max_stale)
            for each in settings.issuers
        ),
        routes=tuple(dict.fromkeys(each.name for each in settings.routes_table().routes)),
        upstream=() if upstream is None else (upstream.url, *upstream.more_urls),
        max_staleness=settings.accounts.max_staleness,
    )

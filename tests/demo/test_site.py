"""The demo's settings, as commands in another terminal read them."""

from sidecar.demo.site import running_site
from sidecar.settings import load


async def test_the_settings_say_where_the_sidecar_listens() -> None:
    """``sidecar watch`` asks the admin listener that the settings name."""
    async with running_site() as site:
        settings = load(site.settings_file, {})

        assert site.sidecar.url == f"http://127.0.0.1:{settings.listen.port}"
        assert site.sidecar.admin_url == f"http://127.0.0.1:{settings.admin.port}"

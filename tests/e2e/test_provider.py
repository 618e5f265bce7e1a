"""From a provider's URL to a running sidecar: what is detected is pasted, and works."""

from typing import Any

import pytest
import yaml

from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import cli, running_sidecar
from tests.e2e.test_main_job import bearer

pytestmark = pytest.mark.e2e

RESOURCE = {"resource": {"identifier": "https://hoop.example/api"}}
METADATA = "/.well-known/oauth-protected-resource/api"


async def detected(site: Site, token: str) -> list[dict[str, Any]]:
    url = site.identity_provider.issuer
    code, out, err = await cli(
        "provider", "detect", url, "--insecure-http", "--token", environ={"ACCESS_TOKEN": token}
    )
    assert (code, err) == (0, "")
    assert token not in out
    issuers = yaml.safe_load(out)["issuers"]
    assert isinstance(issuers, list)
    return issuers


async def test_detected_settings_let_the_token_in_that_they_were_made_from(site: Site) -> None:
    await site.enable()
    token = site.token()
    issuers = await detected(site, token)
    assert issuers[0]["audiences"] == [AUDIENCE]
    issuers[0]["profile"] = "rfc9068"

    settings = site.settings(issuers=issuers, **RESOURCE)
    async with running_sidecar(settings, site.directory) as sidecar:
        url = sidecar.url + "/api/userinfo"
        async with site.http.get(url, headers=bearer(token)) as granted:
            assert granted.status == 200
        for lacking in (site.token(jti=None), site.token(iat=None), site.token(scope=["a"])):
            async with site.http.get(url, headers=bearer(lacking)) as refused:
                assert refused.status == 401
                assert refused.headers["WWW-Authenticate"].endswith(
                    f', resource_metadata="https://hoop.example{METADATA}"'
                )
        async with site.http.get(sidecar.url + METADATA) as told:
            assert told.status == 200
            metadata = await told.json()

    assert metadata["resource"] == "https://hoop.example/api"
    assert metadata["authorization_servers"] == [site.identity_provider.issuer]
    refused_for = [each["reason"] for each in sidecar.decisions if each["reason"]]
    assert refused_for == ["claims_refused"] * 3


async def test_explain_names_the_account_that_was_registered_by_another_name(site: Site) -> None:
    await site.enable()
    token = site.token(sub="object-id")
    (site.directory / "sidecar.yaml").write_text(yaml.safe_dump(site.settings()))
    file = site.directory / "token"
    file.write_text(token)

    code, out, _ = await cli(
        *("explain", "GET /api/userinfo", "--token-file", str(file)),
        *("--config", str(site.directory / "sidecar.yaml")),
    )

    assert code == 1
    assert f"mistake    the account {SUBJECT} is there, which is another name" in out

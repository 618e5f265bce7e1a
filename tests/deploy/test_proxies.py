"""The proxies' files name what the sidecar does; the end-to-end tests start those that can be."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.deploy.traefik_file import TraefikFile
from tests.settings.desk import GOOD, Desk, changed

DEPLOY = Path(__file__).parents[2] / "deploy"
ASKING = {
    "nginx": DEPLOY / "nginx" / "sidecar.conf",
    "caddy": DEPLOY / "caddy" / "Caddyfile",
    "traefik": DEPLOY / "traefik" / "dynamic.yaml",
    "envoy": DEPLOY / "envoy" / "ext-authz-http.yaml",
}
IN_FRONT = {
    "haproxy": DEPLOY / "haproxy" / "haproxy.cfg",
    "apache": DEPLOY / "apache" / "sidecar.conf",
}
ALL = {**ASKING, **IN_FRONT}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def told(desk: Desk, **more: Any) -> set[str]:
    """Return every header that a grant names, with the settings that most people have."""
    identity = desk.load(changed(**more)).identity()
    return {*identity.names.values(), *identity.cleared}


def settings_in(file: Path) -> dict[str, Any]:
    """Return the sidecar's settings that the file's first comment has."""
    head = file.read_text().partition("settings:\n")[2]
    lines = re.match(r"(?:#   .*\n)+", head)
    assert lines is not None
    found: dict[str, Any] = yaml.safe_load(re.sub(r"^#   ", "", lines[0], flags=re.MULTILINE))
    return found


@pytest.mark.parametrize("name", ["nginx", "caddy", "traefik"])
def test_a_proxy_overwrites_every_header_that_the_sidecar_names(desk: Desk, name: str) -> None:
    """CVE-2026-30851: one that is not listed reaches upstream as the client sent it."""
    text = ASKING[name].read_text()
    # Caddy 2.6 makes a text of its own of a header that is listed and not sent.
    more = {} if name == "caddy" else {"assertion": {"audience": "gateway"}}

    assert not {header for header in told(desk, **more) if not re.search(rf"{header}\b", text)}


def test_envoy_overwrites_every_header_that_the_sidecar_names(desk: Desk) -> None:
    patterns = re.findall(r"\{(prefix|exact): ([a-z-]+)\}", ASKING["envoy"].read_text())
    exact = {value for kind, value in patterns if kind == "exact"}
    prefixes = tuple(value for kind, value in patterns if kind == "prefix")
    named = {header.lower() for header in told(desk)}

    assert not {header for header in named - exact if not header.startswith(prefixes)}


def test_traefiks_file_has_fields_that_exist_and_names_what_there_is() -> None:
    text = ASKING["traefik"].read_text()
    http = TraefikFile.model_validate(yaml.safe_load(text)).http

    for router in http.routers.values():
        assert set(router.middlewares) <= set(http.middlewares)
        assert router.service in http.services
    for wrong in ("trustForwardHeaders", "trust_forward_header"):
        with pytest.raises(ValidationError, match=wrong):
            TraefikFile.model_validate(
                yaml.safe_load(text.replace("trustForwardHeader:", f"{wrong}:"))
            )


def test_traefik_is_told_what_it_is_to_list_and_to_distrust(desk: Desk) -> None:
    http = yaml.safe_load(ASKING["traefik"].read_text())["http"]
    asking = http["middlewares"]["sidecar"]["forwardAuth"]

    assert set(asking["authResponseHeaders"]) == told(desk, assertion={"audience": "gateway"})
    assert asking["trustForwardHeader"] is False
    assert "authRequestHeaders" not in asking
    assert http["routers"]["gateway"]["middlewares"] == ["take-out", "sidecar"]
    assert set(http["middlewares"]["take-out"]["headers"]["customRequestHeaders"].values()) == {""}


@pytest.mark.parametrize("name", ALL)
def test_the_settings_that_a_file_asks_for_are_ones_that_load(desk: Desk, name: str) -> None:
    found = settings_in(ALL[name])
    given = {key: value for key, value in GOOD.items() if key != "upstream"}
    settings = desk.load({**given, **found})

    assert (settings.forward_auth is not None) is (name in ASKING)
    if settings.forward_auth is not None:
        assert settings.forward_auth.dialect == name


@pytest.mark.parametrize("name", ALL)
def test_each_folder_says_what_it_is_for(name: str) -> None:
    text = (DEPLOY / name / "README.md").read_text()

    assert f"({ALL[name].name})" in text

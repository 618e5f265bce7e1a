"""The part of an issuer's settings that names its provider instead of describing it."""

from typing import Any

from pydantic import ValidationInfo, field_validator, model_validator

from sidecar.settings.fields import Section
from sidecar.settings.presets import PARTS, PRESETS, PresetName


class PresetSection(Section):
    """A provider by its name, and what its issuer is made of."""

    preset: PresetName | None = None
    """The identity provider, which fills in whatever is not set here. entra means both issuers of
    a tenant, as one realm."""
    tenant: str | None = None
    """With preset entra, entra-v1 or entra-v2: the directory (tenant) id."""
    domain: str | None = None
    """With preset okta, okta-org or auth0: the host that tokens are requested at."""
    server: str | None = None
    """With preset okta: the authorization server's id; without it `default`."""
    pool: str | None = None
    """With preset cognito: the user pool's id."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, dict) else None
        preset = PRESETS.get(name) if isinstance(name, str) else None
        return given if preset is None else preset.fill_in(given)

    @field_validator(*PARTS)
    @classmethod
    def _makes_an_issuer(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or info.field_name is None or "preset" not in info.data:
            return value
        name = info.data["preset"]
        if name is None or info.field_name not in PRESETS[name].parts:
            meant = [each for each, preset in PRESETS.items() if info.field_name in preset.parts]
            raise ValueError(f"has a meaning with preset {' or '.join(sorted(meant))} only")
        if not value:
            raise ValueError(f"is missing; expected {PARTS[info.field_name].expected}")
        if not PARTS[info.field_name].fits(value):
            raise ValueError(f"expected {PARTS[info.field_name].expected}")
        return value


def check_issuer(text: str, data: dict[str, Any]) -> None:
    """Judge an issuer by the preset that stands in ``data``.

    Raises:
        ValueError: it is not one of that provider, with the remedy.
    """
    name = data.get("preset")
    if name is None:
        return
    preset = PRESETS[name]
    if any(data.get(part) for part in preset.parts) and text != preset.made_of(data):
        given = " and ".join(preset.parts)
        raise ValueError(f"differs from what {given} of preset {name} make; leave one out")
    if not preset.fits(text):
        others = [other for other in _known_by(text) if other != name]
        hint = f"; it looks like preset: {' or '.join(others)}" if others else ""
        raise ValueError(f"is no issuer of preset {name}: expected {preset.looks}{hint}")


def is_said_elsewhere(text: str, data: dict[str, Any]) -> bool:
    """Say whether an issuer is empty for the sake of something that has a problem of its own."""
    if text or "preset" not in data:
        return not text
    parts = () if data["preset"] is None else PRESETS[data["preset"]].parts
    return any(part not in data for part in parts)


def _known_by(issuer: str) -> list[str]:
    """Return the presets that the issuer may be of, but for those that any may be of."""
    general = ("entra", "oidc")
    return [name for name, preset in PRESETS.items() if name not in general and preset.fits(issuer)]

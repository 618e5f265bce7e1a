"""Where settings are written and loaded. A refused example says what and how to mend it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typing_extensions import override

from sidecar.settings import Settings, SettingsProblems, load

GOOD: dict[str, Any] = {
    "upstream": {"url": "http://127.0.0.1:8009"},
    "preset": "hoop",
    "issuers": [{"issuer": "https://idp.example/", "audiences": ["api"]}],
    "accounts": {"url": "redis://127.0.0.1/0"},
}


class _Plain(yaml.SafeDumper):
    """Writes a value that is there twice twice: the settings take no anchors."""

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True


class Desk:
    """Writes settings into a file and loads them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "sidecar.yaml"

    def load(self, text: str | dict[str, Any] | None = None, **environ: str) -> Settings:
        if text is not None:
            self.file.write_text(text if isinstance(text, str) else yaml.dump(text, Dumper=_Plain))
        return load(None if text is None else self.file, environ)

    def problems(self, text: str | dict[str, Any] | None, **environ: str) -> list[str]:
        with pytest.raises(SettingsProblems) as refused:
            self.load(text, **environ)
        return [str(problem) for problem in refused.value.problems]

    def the_problem(self, settings: dict[str, Any]) -> str:
        """Return the one problem that these settings have."""
        problems = self.problems(settings)
        assert len(problems) == 1, problems
        return problems[0]

    def load_or_refuse(self, text: str | dict[str, Any], **environ: str) -> None:
        """Fail on anything but settings, or problems that can be read."""
        refused: SettingsProblems | None = None
        try:
            self.load(text, **environ)
        except SettingsProblems as problems:
            refused = problems
        assert refused is None or (refused.problems and str(refused))

    def write(self, name: str, content: bytes) -> str:
        """Write a file beside the settings; return its path."""
        file = self.directory / name
        file.write_bytes(content)
        return str(file)


def changed(**sections: Any) -> dict[str, Any]:
    """Return good settings with other sections."""
    return {**GOOD, **sections}


def issuer(**members: Any) -> dict[str, Any]:
    """Return good settings with another issuer."""
    return changed(issuers=[{**GOOD["issuers"][0], **members}])


def route(**members: Any) -> dict[str, Any]:
    """Return good settings with one route of their own."""
    return changed(routes=[{"name": "a", "path": "/a", **members}])

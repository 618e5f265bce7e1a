"""Settings: read once, typed, immutable; every problem is reported at once with its place."""

from sidecar.settings.loading import check_http_library, load, schema
from sidecar.settings.model import Settings
from sidecar.settings.problems import Problem, SettingsProblems

__all__ = ["Problem", "Settings", "SettingsProblems", "check_http_library", "load", "schema"]

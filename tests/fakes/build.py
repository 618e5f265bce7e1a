"""What a test needs of the build under test."""

import pytest

from sidecar.core.build import BUILD

overrides = pytest.mark.skipif(BUILD != "python", reason="what is compiled cannot be overridden")

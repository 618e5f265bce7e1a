"""The command line.

Exit codes: 0 done or granted, 1 refused, 2 bad usage or settings, 3 not now.
"""

import gc

# Nothing that is imported is garbage: to look for some meanwhile is a tenth of the time to start.
gc.disable()
from sidecar.cli.main import main  # noqa: E402

gc.enable()

__all__ = ["main"]

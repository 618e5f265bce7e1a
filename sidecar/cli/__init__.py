"""The command line.

Exit codes: 0 done or granted, 1 refused, 2 bad usage or settings, 3 not now.
"""

from sidecar.cli.main import main

__all__ = ["main"]

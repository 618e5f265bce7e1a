"""Which build this is: the sources as they are, or with the hot modules compiled by mypyc."""

from sidecar.core import decision

BUILD = "python" if decision.__file__.endswith(".py") else "compiled"

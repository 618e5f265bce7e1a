"""Inbound edges: each translates what comes on its wire, and enforces what was decided."""

import os

# The library's own log: lines of its own form on stderr, between ours, as many as clients like.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

"""Asking upstream: connections of our own, kept alive, on asyncio protocols and llhttp.

``pool`` chooses or opens a connection for each request, ``connection`` carries one request at a
time, ``answer_reader`` takes the answer apart by the strict rules of HTTP/1.1, and ``answer`` gives
it to those who would rather await it than be called.
"""

from sidecar.fronts.reverse_proxy.upstream.answer import Answer, Upstream
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed, UpstreamPolicy

__all__ = ["Answer", "Upstream", "UpstreamFailed", "UpstreamPolicy"]

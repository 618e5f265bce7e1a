"""Whether the libraries that run are fit to stand where attackers start."""

from importlib.util import find_spec

import aiohttp
from aiohttp import http_parser

from sidecar.settings import Problem, Settings, check_http_library


def library_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong with the libraries of this process, for what these settings want."""
    # Without the C extension, or with AIOHTTP_NO_EXTENSIONS, the name is the pure Python parser's.
    has_c_parser = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    problems = check_http_library(aiohttp.__version__, has_c_parser=has_c_parser, settings=settings)
    if settings.grpc is not None and not is_installed("grpc"):
        problems.append(Problem("grpc", "needs gRPC, which is not here: install lock/grpc.txt"))
    return problems


def is_installed(package: str) -> bool:
    """Say whether a package that comes with an extra is here."""
    return find_spec(package) is not None

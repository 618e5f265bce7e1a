"""Whether the libraries that run are fit to stand where attackers start."""

import aiohttp
from aiohttp import http_parser

from sidecar.settings import Problem, Settings, check_http_library


def library_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong with the aiohttp of this process."""
    # Without the C extension, or with AIOHTTP_NO_EXTENSIONS, the name is the pure Python parser's.
    has_c_parser = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    return check_http_library(aiohttp.__version__, has_c_parser=has_c_parser, settings=settings)

"""Whether the libraries that run are fit to stand where attackers start."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import aiohttp
from aiohttp import http_parser

from sidecar.settings import Problem, Settings, check_http_library

_GRPC = ("grpc", "grpc_health", "envoy.service.auth.v3")
_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
# xds-protos, of the extra grpc, has files of opentelemetry-proto's names in it.
_OVERWRITTEN = (
    "needs OpenTelemetry, of which lock/grpc.txt has overwritten a part: install it again, with"
    " pip install --force-reinstall --no-deps opentelemetry-proto"
)
_TRACING = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def library_problems(
    settings: Settings,
    grpc: Sequence[str] = _GRPC,
    tracing: Sequence[str] = _TRACING,
    exporter: str = _EXPORTER,
) -> list[Problem]:
    """Return what is wrong with the libraries of this process, for what these settings want.

    ``grpc`` and ``tracing`` are the packages of the extras of these names, ``exporter`` is what the
    latter is for.
    """
    # Without the C extension, or with AIOHTTP_NO_EXTENSIONS, the name is the pure Python parser's.
    has_c_parser = http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
    problems = check_http_library(aiohttp.__version__, has_c_parser=has_c_parser, settings=settings)
    if settings.ext_authz is not None and not all(map(_is_installed, grpc)):
        problems.append(
            Problem("ext_authz", "needs gRPC, which is not here: install lock/grpc.txt")
        )
    if settings.grpc is not None and not _is_installed("grpc"):
        problems.append(Problem("grpc", "needs gRPC, which is not here: install lock/grpc.txt"))
    if settings.tracing is not None and not all(map(_is_installed, tracing)):
        problems.append(
            Problem("tracing", "needs OpenTelemetry, which is not here: install lock/tracing.txt")
        )
    elif settings.tracing is not None and not _can_be_imported(exporter):
        problems.append(Problem("tracing", _OVERWRITTEN))
    return problems


def _can_be_imported(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # so is its parent not
        return False

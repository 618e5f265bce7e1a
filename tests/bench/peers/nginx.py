"""nginx, one worker: as a peer that checks nothing, and as the upstream of all peers."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import Peer, Scene, running_peer
from tests.bench.processes import find_program, running

NAME = "nginx, no check"
TUNED = "nginx, no check, 64k buffers"
_FRAME = """\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 100000000;
    client_max_body_size 8m;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{inner}
}}
"""
_PROXY = """\
    upstream behind {{
        server {host}:{upstream_port};
        keepalive 512;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_request_buffering off;
            {buffers}
        }}
    }}
"""
# As shipped, a body of 1 MB goes through 4 kB buffers and a file: not what anybody would measure
# a proxy of large bodies by.
_BUFFERS = """\
proxy_max_temp_file_size 0;
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            proxy_busy_buffers_size 128k;
            client_body_buffer_size 64k;"""
# An upload is answered when all of it was read, which only a location that proxies does.
_UPSTREAM = """\
    open_file_cache max=10;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {directory}/files;
        location /api/upload {{
            client_body_buffer_size 8m;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_pass http://unix:{directory}/answer.sock:/;
        }}
    }}
    server {{
        listen unix:{directory}/answer.sock;
        location / {{ return 200 "taken\\n"; }}
    }}
"""
SIZES = {"100": 100, "10k": 10_000, "1m": 1_000_000}


def program() -> str:
    return find_program("nginx", "Debian: nginx-light")


@asynccontextmanager
async def running_nginx(scene: Scene) -> AsyncIterator[Peer]:
    """Run it as it is shipped."""
    async with _running(NAME, scene, "") as peer:
        yield peer


@asynccontextmanager
async def running_tuned_nginx(scene: Scene) -> AsyncIterator[Peer]:
    """Run it with buffers for large bodies."""
    async with _running(TUNED, scene, _BUFFERS) as peer:
        yield peer


@asynccontextmanager
async def _running(name: str, scene: Scene, buffers: str) -> AsyncIterator[Peer]:
    port = free_port()
    host, upstream_port = scene.upstream_address
    inner = _PROXY.format(host=host, upstream_port=upstream_port, port=port, buffers=buffers)
    command = _command(scene.directory / f"nginx-{port}", inner)
    async with running_peer(name, scene, command, port, checks=False) as peer:
        yield peer


@asynccontextmanager
async def running_upstream(directory: Path) -> AsyncIterator[str]:
    """Run the upstream; yield its URL. ``/api/100``, ``/api/10k`` and ``/api/1m`` are its bodies.

    What is posted to ``/api/upload`` is read to its end.

    Raises:
        Missing: nginx is not installed.
    """
    home = directory / "upstream"
    files = home / "files" / "api"
    files.mkdir(parents=True)
    for name, size in SIZES.items():
        (files / name).write_bytes(b"x" * size)
    port = free_port()
    command = _command(home, _UPSTREAM.format(port=port, directory=home))
    async with running(command, port, home / "log"):
        yield f"http://127.0.0.1:{port}"


def _command(home: Path, inner: str) -> list[str]:
    home.mkdir(exist_ok=True)
    # Started by root, its worker would be nobody, who may not enter a private directory.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    file = home / "nginx.conf"
    file.write_text(_FRAME.format(user=user, directory=home, inner=inner))
    return [program(), "-e", "stderr", "-p", str(home), "-c", str(file)]

"""Apache with mod_auth_openidc as an OAuth 2.0 resource server, one child process of threads."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import AUDIENCE, Peer, Scene, running_peer
from tests.bench.processes import Missing, find_program

NAME = "Apache mod_auth_openidc"
_MODULES = Path("/usr/lib/apache2/modules")
_LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "proxy")
_CONFIGURATION = """\
ServerRoot {home}
DefaultRuntimeDir {home}
PidFile {home}/pid
ErrorLog /dev/stderr
LogLevel error
ServerName bench
{user}
{modules}
Listen 127.0.0.1:{port}
ServerLimit 1
StartServers 1
ThreadLimit 320
ThreadsPerChild 320
MaxRequestWorkers 320
MinSpareThreads 320
MaxSpareThreads 320
KeepAlive On
KeepAliveTimeout 600
MaxKeepAliveRequests 0
OIDCOAuthVerifyCertFiles {kid}#{key}
OIDCOAuthRemoteUserClaim sub
OIDCCacheType shm
<Location />
    AuthType oauth20
    <RequireAll>
        Require claim iss:{issuer}
        Require claim aud:{audience}
    </RequireAll>
    ProxyPass {upstream}/ keepalive=On
</Location>
"""


def program() -> str:
    """Return where Apache is. Raises Missing without it, or without its module."""
    found = find_program("apache2", "Debian: apache2")
    if not (_MODULES / "mod_auth_openidc.so").exists():
        raise Missing("mod_auth_openidc is not installed (Debian: libapache2-mod-auth-openidc)")
    return found


@asynccontextmanager
async def running_apache(scene: Scene) -> AsyncIterator[Peer]:
    port = free_port()
    home = scene.directory / f"apache-{port}"
    home.mkdir()
    file = home / "apache.conf"
    file.write_text(
        _CONFIGURATION.format(
            home=home,
            port=port,
            kid=scene.kid,
            key=scene.key_file,
            issuer=scene.site.provider.issuer,
            audience=AUDIENCE,
            upstream=scene.upstream,
            # It refuses to serve as root.
            user="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
            modules="\n".join(
                f"LoadModule {name}_module {_MODULES}/mod_{name}.so"
                for name in (*_LOADED, "proxy_http")
            ),
        )
    )
    command = [program(), "-f", str(file), "-D", "FOREGROUND"]
    async with running_peer(NAME, scene, command, port) as peer:
        yield peer

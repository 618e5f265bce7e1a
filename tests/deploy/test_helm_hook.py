"""`helm test`: the pod of the chart's that asks the sidecar, and tries to get past it."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from typing_extensions import override

from tests.deploy.chart import NAMESPACE, RELEASE, example
from tests.deploy.network import Pod


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        logging.getLogger(__name__).debug(format, *args)


@contextmanager
def listening() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def run_test(*arguments: str) -> tuple[int, str]:
    """Run what `helm test` runs."""
    pod = example("minimal").the("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [container] = pod["spec"]["containers"]
    _, *command = container["command"]
    assert len(container["args"]) == 3
    done = subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_helm_test_asks_the_sidecar_and_tries_the_gateway() -> None:
    cluster = example("minimal")
    url, status, gateway = cluster.the("Pod")["spec"]["containers"][0]["args"]
    service = cluster.service("http")["metadata"]["name"]

    assert url == f"http://{service}.{NAMESPACE}:8080/api/userinfo"
    assert (status, gateway) == ("401", "http://hoopgateway:8009")
    assert service == f"{RELEASE}-sidecar"
    tried = example("everything").the("Pod")["spec"]["containers"][0]["args"][2:]
    assert tried == ["http://hoopgateway.hoop:8009", "grpc://hoopgateway.hoop:8010"]


def test_helm_test_fails_where_the_gateway_can_be_reached_or_somebody_gets_in() -> None:
    with listening() as sidecar, socket.socket() as bound:
        # Nobody listens on it, and nobody else gets its port.
        bound.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{bound.getsockname()[1]}"

        assert run_test(sidecar, "401", nobody)[0] == 0
        assert run_test(sidecar, "200", nobody)[0] == 1
        code, said = run_test(sidecar, "401", sidecar)
        assert code == 1
        assert "can be reached past the sidecar" in said
        assert run_test(nobody, "401")[0] != 0
        # What could not be tried is no proof. No name server has to be asked about this one.
        code, said = run_test(sidecar, "401", nobody, "http://[::1%nowhere]:8009")
        assert code == 1
        assert "was not tried" in said


def test_a_pod_of_the_test_is_none_of_the_sidecar() -> None:
    cluster = example("minimal")
    tester = Pod(NAMESPACE, cluster.the("Pod")["metadata"]["labels"])

    assert not cluster.network.passes(tester, Pod(NAMESPACE, {"app": "hoopgateway"}), 8009)
    assert example("everything").network.passes(tester, example("everything").own, 8080)

"""Asks again and again on one connection until its input ends; prints when, and how long it took.

A process of its own, with nothing else to do: what it sees is the sidecar's delay.
"""

import json
import select
import socket
import sys
import time

_PAUSE_SECONDS = 0.001


def main(host: str, port: int, token: str) -> None:
    request = f"GET /api/userinfo HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    times: list[tuple[float, float]] = []
    with socket.create_connection((host, port)) as connection:
        connection.settimeout(30)
        while not select.select([sys.stdin], [], [], _PAUSE_SECONDS)[0]:
            began = time.monotonic()
            connection.sendall(request.encode())
            answer = connection.recv(65536)
            if b" 200 " not in answer[:15]:
                raise SystemExit(f"not granted: {answer!r}")
            times.append((began, time.monotonic() - began))
    print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])

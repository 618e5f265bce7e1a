"""The command line, loaded once: each order is carried out by a fork, as a process of its own.

``warm_client.py`` sends the orders. A fork has the caller's arguments, environment, directory,
stdin, stdout and stderr, so it does what ``python -m sidecar`` would.
"""

import json
import logging
import os
import select
import signal
import socket
import sys
from array import array
from typing import NoReturn

from sidecar.cli import main  # what every command needs is loaded before the first one comes


def serve(address: str) -> None:
    """Carry out orders until the process is ended."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> NoReturn:
    """Have one order carried out, and tell its process id and its exit code."""
    files = array("i")
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * files.itemsize))
    for _, _, data in ancillary:
        files.frombytes(data)
    order = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 64)
        _carry_out(order)
    connection.sendall(f"{child}\n".encode())
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(child, signal.SIGKILL)  # whoever ordered it is gone
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(f"{code if code >= 0 else 128 - code}\n".encode())
    os._exit(0)


def _carry_out(order: dict[str, object]) -> NoReturn:
    code = 70
    try:
        os.chdir(str(order["directory"]))
        os.environ.clear()
        environment, arguments = order["environment"], order["arguments"]
        assert isinstance(environment, dict)
        assert isinstance(arguments, list)
        os.environ.update(environment)
        sys.argv = ["sidecar", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        logging.exception("the command failed")  # noqa: LOG015 - as a process would, on stderr
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])

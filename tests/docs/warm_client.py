"""The command ``sidecar``: has its arguments, environment and files taken over by a fork.

It is that of a process that has the module loaded already (``warm_cli.py``), which saves each
command the second of its imports. Signals go on to it, its exit code comes back.
"""

import array
import json
import os
import signal
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(os.environ["WARM_SIDECAR"])
order = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "directory": os.getcwd(),  # noqa: PTH109 - pathlib takes as long to load as all the rest
}
files = socket.SCM_RIGHTS, array.array("i", [0, 1, 2])
server.sendmsg([b"\0"], [(socket.SOL_SOCKET, *files)])
server.sendall(json.dumps(order).encode() + b"\n")
answers = server.makefile()
child = int(answers.readline())
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(child, number))
sys.exit(int(answers.readline() or 70))

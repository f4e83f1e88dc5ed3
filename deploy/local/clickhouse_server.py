"""ClickHouse as a process: the shared library's own server, kept alive by a pipe and stopped by closing it.

The library ends a server when its standard input ends. The outer process holds the other end of that pipe: a stop
signal closes it and the server shuts down cleanly; if the outer process is killed, the pipe closes by itself and the
server ends too, so no server is ever left behind.

    python -m deploy.local.clickhouse_server LIBRARY CONFIG
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from types import FrameType

KEEP_LISTENING = (
    "SYSTEM START LISTEN HTTP; SELECT count() FROM file('/dev/stdin', 'LineAsString', 'line String') FORMAT Null"
)
STOP_WITHIN_S = 8


def serve(library: str, config: str) -> None:
    """The inner process: runs the server until its standard input ends. Exits with the server's error, if any."""
    loaded = ctypes.CDLL(library)
    loaded.chdb_query_cmdline.restype = ctypes.c_void_p
    loaded.chdb_query_cmdline.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    loaded.chdb_result_error.restype = ctypes.c_char_p
    loaded.chdb_result_error.argtypes = [ctypes.c_void_p]
    # TabSeparated here becomes the default of the HTTP interface, which clients expect.
    words = ["clickhouse", f"--config-file={config}", "--output-format=TabSeparated", f"--query={KEEP_LISTENING}"]
    arguments = (ctypes.c_char_p * (len(words) + 1))(*(word.encode() for word in words), None)
    error = loaded.chdb_result_error(loaded.chdb_query_cmdline(len(words), arguments))
    if error:
        sys.exit(error.decode())


def keep(library: str, config: str) -> int:
    """The outer process: starts the server, waits for it, and stops it cleanly on SIGTERM or SIGINT."""
    server = subprocess.Popen(
        [sys.executable, "-m", "deploy.local.clickhouse_server", "--serve", library, config],
        stdin=subprocess.PIPE,
        start_new_session=True,  # the server's own shutdown signals its whole process group
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if server.stdin is not None and not server.stdin.closed:
            server.stdin.close()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    closed_at = None
    while server.poll() is None:
        time.sleep(0.05)
        if server.stdin is not None and server.stdin.closed:
            closed_at = closed_at or time.monotonic()
            if time.monotonic() - closed_at > STOP_WITHIN_S:
                server.kill()
    return 0 if closed_at else server.returncode or 1


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2], sys.argv[3])
    else:
        sys.exit(keep(sys.argv[1], sys.argv[2]))

"""An answer of ClickHouse that ends early is no answer: not a smaller one, and not an empty one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from urllib3.exceptions import HTTPError

from agents.store.answers import whole_answers

# As ClickHouse sends them: status and summary first, the rest when the query has ended; 0x0B bytes of one block.
NO_ROWS = (
    b'HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {"read_rows":"0"}\r\nConnection: Keep-Alive\r\n'
    b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\nX-ClickHouse-Format: Native\r\n\r\n"
    b"0\r\n\r\n"
)
ONE_ROW = NO_ROWS.replace(b"\r\n\r\n0", b"\r\n\r\nB\r\n\x01\x01\x01x\x05UInt8\x01\r\n0")


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says so many bytes to whoever asks, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    asked, _ = listening.accept()
                except OSError:
                    return
                with asked:
                    asked.recv(65536)
                    asked.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(("answer", "body"), [(NO_ROWS, b""), (ONE_ROW, b"\x01\x01\x01x\x05UInt8\x01")])
def test_a_whole_answer_is_read(answer: bytes, body: bytes) -> None:
    with answering(answer) as address:
        assert whole_answers().request("GET", address, retries=False).data == body


@pytest.mark.parametrize("answer", [NO_ROWS, ONE_ROW], ids=["no rows", "one row"])
def test_an_answer_that_was_cut_anywhere_is_refused(answer: bytes) -> None:
    believed = []
    for length in range(len(answer) - len(b"0\r\n\r\n")):  # a chunk of no bytes says that all is there
        with answering(answer[:length]) as address:
            try:
                whole_answers().request("GET", address, retries=False)
            except HTTPError:
                continue
        believed.append(length)
    assert believed == []

"""How does a notebook without a driver ask PostgreSQL? By the protocol itself, through the sandbox's proxy.

The standard library only: tests run this file's text as a cell.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct

__all__ = ["ask"]

VERSION = 196608


class Refused(Exception):
    """PostgreSQL or the proxy said no."""


def ask(proxy: tuple[str, int], place: str, login: tuple[str, str], database: str, text: str) -> list[str]:
    """The first column of what a statement gives. `place`: host:port as the proxy knows it."""
    with socket.create_connection(proxy, 20) as connection:
        connection.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        stream = connection.makefile("rb")
        status = stream.readline()
        if b" 200 " not in status:
            raise Refused(status.decode())
        while stream.readline().strip():
            continue
        words = b"".join(word.encode() + b"\0" for word in ("user", login[0], "database", database))
        connection.sendall(struct.pack("!ii", len(words) + 9, VERSION) + words + b"\0")
        _log_in(connection, stream, login[1])
        while _message(stream)[0] != b"Z":
            continue
        _send(connection, b"Q", text.encode() + b"\0")
        return list(_rows(stream))


def _rows(stream):  # type: ignore[no-untyped-def]  # binary file of the connection
    while True:
        kind, body = _message(stream)
        if kind == b"Z":
            return
        if kind == b"D":
            [length] = struct.unpack("!i", body[2:6])
            yield body[6 : 6 + length].decode()


def _message(stream):  # type: ignore[no-untyped-def]
    kind = stream.read(1)
    [length] = struct.unpack("!i", stream.read(4))
    body = stream.read(length - 4)
    if kind == b"E":
        raise Refused(body.replace(b"\0", b" ").decode())
    return kind, body


def _send(connection, kind, body):  # type: ignore[no-untyped-def]
    connection.sendall(kind + struct.pack("!i", len(body) + 4) + body)


def _log_in(connection, stream, password):  # type: ignore[no-untyped-def]
    """SCRAM-SHA-256, RFC 5802."""
    _message(stream)
    bare = "n=,r=" + secrets.token_hex(12)
    first = ("n,," + bare).encode()
    _send(connection, b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
    said = _message(stream)[1][4:].decode()
    fields = dict(part.split("=", 1) for part in said.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    end = "c=biws,r=" + fields["r"]
    signed = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{said},{end}".encode(), "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signed))  # noqa: B905 - also Python 3.9 of an image
    _send(connection, b"p", f"{end},p={base64.b64encode(proof).decode()}".encode())
    _message(stream)
    _message(stream)

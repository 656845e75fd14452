"""One gRPC call over a TLS version of one's choice, by hand: grpcio's client has no setting for it."""

from __future__ import annotations

import socket
import ssl

from vault.tls import SERVER_NAME

DATA_FRAME, HEADERS_FRAME = 0, 1


def http2_call(address: str, path: str, message: bytes, version: ssl.TLSVersion) -> list[int]:
    """Make one gRPC call over one TLS version, by hand; return the types of frames on its stream (RFC 9113)."""
    host, port = address.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    headers = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", SERVER_NAME)]
    headers += [("te", "trailers"), ("content-type", "application/grpc")]
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in headers
    )  # RFC 7541, section 6.2.2: literals, never indexed, no Huffman code
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        link.sendall(frame(HEADERS_FRAME, 4, 1, block) + frame(DATA_FRAME, 1, 1, body))
        stream, kinds = link.makefile("rb"), []
        while True:
            head = stream.read(9)
            size, kind, flags, number = int.from_bytes(head[:3], "big"), head[3], head[4], head[5:] == b"\0\0\0\1"
            stream.read(size)
            if number:
                kinds.append(kind)
                if flags & 1:  # END_STREAM
                    return kinds


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

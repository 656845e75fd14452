"""TLS whose key is attested: one P-256 certificate a start, pinned by its public key's hash (rule E5).

grpcio's client refuses Ed25519 certificates, so TLS keys are P-256. The certificate never expires: freshness comes from
nonces and leases, and a client whose clock is an hour off still connects. KeyUsage holds digitalSignature only; without
it BoringSSL would accept a leaf that the pinned certificate issued.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

import grpc

from vault.errors import ServiceUnavailable

SERVER_NAME = "coffer.enclave"
CONNECT_TIMEOUT_S = 5.0
MESSAGE_BYTES_MAX = 4 << 20  # gRPC's own default; said here so that it stays
CHANNEL_OPTIONS = (
    ("grpc.ssl_target_name_override", SERVER_NAME),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 30_000),  # while a call is open: a server that is silently gone is noticed within this
    ("grpc.keepalive_timeout_ms", 10_000),  # and this
)
SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a shared port
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),  # without a call; clients of ours connect again by themselves
    ("grpc.max_connection_age_ms", 900_000),  # then no new call; whoever holds one open, or reads no answer, is cut off
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.keepalive_time_ms", 60_000),  # whoever is silently gone holds its calls no longer than this and
    ("grpc.keepalive_timeout_ms", 20_000),  # this
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients of ours ping every 30 s of an open call
)


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A fresh key and its certificate; the hash is what evidence binds. It neither prints its key nor pickles."""

    certificate_pem: bytes
    key_hash: bytes
    private_pem: bytes = field(repr=False, compare=False)

    @classmethod
    def fresh(cls) -> TlsIdentity:
        """Make a key and certificate for this start; the same key is never given a second certificate."""
        from vault.certificate import made_certificate

        return cls(*made_certificate(SERVER_NAME))

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server listens with."""
        return grpc.ssl_server_credentials([(self.private_pem, self.certificate_pem)])

    def __reduce__(self) -> Any:
        raise TypeError("private keys are never pickled")


@dataclass(frozen=True, slots=True)
class PinnedCertificate:
    """The certificate a server showed, to be the only root of the channel; nothing is proved by it yet."""

    pem: bytes
    key_hash: bytes

    @classmethod
    def fetch(cls, address: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> PinnedCertificate:
        """Read the certificate of `host:port` over TLS 1.3, or raise `ServiceUnavailable`."""
        from vault.certificate import UNREADABLE, read_certificate

        host, _, port = address.rpartition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the evidence vouches for the key, no authority does
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2"])
        try:
            with (
                socket.create_connection((host.strip("[]"), int(port)), timeout_s) as plain,
                context.wrap_socket(plain, server_hostname=SERVER_NAME) as secured,
            ):
                der = secured.getpeercert(binary_form=True)
        except (OSError, ValueError) as error:
            raise ServiceUnavailable(f"nothing answers at {address}; is the service running there?") from error
        if der is None:
            raise ServiceUnavailable(f"the service at {address} shows no certificate")
        try:
            return cls(*read_certificate(der))
        except UNREADABLE as error:
            raise ServiceUnavailable(f"the service at {address} shows a certificate that cannot be read") from error

    def channel(self, address: str) -> grpc.Channel:
        """Return a channel on which every connection has exactly this certificate."""
        return grpc.secure_channel(address, self._credentials(), CHANNEL_OPTIONS)

    def async_channel(self, address: str) -> grpc.aio.Channel:
        """Return the same for an event loop."""
        return grpc.aio.secure_channel(address, self._credentials(), CHANNEL_OPTIONS)

    def _credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(root_certificates=self.pem)

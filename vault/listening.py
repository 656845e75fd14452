"""How a gRPC server starts: its health and its services told to whoever asks, on one TLS port."""

from __future__ import annotations

from typing import Any, Final

import grpc

from vault.tls import TlsIdentity

PORT_MAX: Final = 65_535


async def started(server: grpc.aio.Server, tls: TlsIdentity, listen: str, *services: Any) -> int:
    """Start a server on `host:port` (port 0: any free one) and return its port.

    Args:
        services: descriptors of those that were added to it.
    Raises: `OSError` where the address cannot be listened on.
    """
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection

    names = [service.full_name for service in services]
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for name in names:
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    port = listening(server, tls, listen)
    await server.start()
    return port


def listening(server: grpc.aio.Server, tls: TlsIdentity, listen: str) -> int:
    """Bind a server's one TLS port, or raise `OSError` saying so."""
    number = listen.rpartition(":")[2]
    if not (number.isascii() and number.isdigit() and int(number) <= PORT_MAX):  # gRPC would take 99999 as 34463
        raise OSError(f"cannot listen on {listen}; write host:port, with a port of 0 … {PORT_MAX}")
    try:
        port = server.add_secure_port(listen, tls.server_credentials())
    except RuntimeError as error:
        raise OSError(f"cannot listen on {listen}; is the port in use?") from error
    if port == 0:
        raise OSError(f"cannot listen on {listen}; is the port in use?")
    return port

"""How a worker knows whom it talks to, and proves who it is."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc


@dataclass(frozen=True)
class Security:
    """By default no TLS, and no proof."""

    credentials: grpc.ChannelCredentials | None = None
    """Of grpc.ssl_channel_credentials(root_certificates, private_key, certificate_chain); None: no TLS."""
    token: str | Callable[[], str] | None = None
    """Sent with each stream that is opened. A function is asked for it each time, so that it can be exchanged."""

    def channel(self, address: str, options: list[tuple[str, int]]) -> grpc.Channel:
        if self.credentials is None:
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(address, self.credentials, options=options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call is opened with."""
        if self.token is None:
            return ()
        token = self.token if isinstance(self.token, str) else self.token()
        return (('authorization', f'Bearer {token}'),)

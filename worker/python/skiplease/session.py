"""One stream to one coordinator."""

import threading
from collections.abc import Callable, Iterator
from time import monotonic

import grpc

from .outbox import Outbox
from .security import Security
from .v1 import worker_service_pb2 as pb
from .v1.worker_service_pb2_grpc import WorkerServiceStub

RECEIVE_BYTES_MAX = 16 * 1024 * 1024
"""The largest message that we take, and say so in hello: generous beside gRPC's own 4 MiB."""
CHANNEL_OPTIONS = [
    ('grpc.max_receive_message_length', RECEIVE_BYTES_MAX),
    # Reconnecting is our own business: a new channel must not wait for the backoff of an older one.
    ('grpc.use_local_subchannel_pool', 1),
    # A name with several addresses, such as a headless Service: each worker begins with another one.
    ('grpc.service_config', '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}'),
]
SILENT_INTERVALS = 2.5
"""So many heartbeat intervals without a word: the coordinator is hung, cut off, or without its database."""


class Session:
    """Speaks on one thread (hello, heartbeats, all that is in the outbox) and listens on another."""

    def __init__(
        self,
        address: str,
        hello: pb.Hello,
        outbox: Outbox,
        receive: Callable[['Session', pb.LeaseResponse], None],
        on_change: Callable[[], None],
        security: Security,
    ):
        """`receive` gets every message after the welcome (on the listening thread); `on_change` is called after each
        change of the properties below."""
        self.address = address
        self.welcome: pb.Welcome | None = None
        self.draining = False
        """The coordinator asked us to go elsewhere."""
        self.ended = False
        self.error: grpc.RpcError | None = None
        """Why it ended, unless the coordinator ended it in peace."""
        self.began_at = self._heard_at = monotonic()
        self._hello = hello
        self._outbox = outbox
        self._receive = receive
        self._on_change = on_change
        self._interval_seconds = 0.0
        self._received = 0
        self._sent_at = {0: self.began_at}
        self._decided = threading.Event()
        self._leaving = False
        self._channel = security.channel(address, CHANNEL_OPTIONS)
        self._call = WorkerServiceStub(self._channel).Lease(self._say(), metadata=security.metadata())
        threading.Thread(target=self._listen, name=f'skiplease-session-{address}', daemon=True).start()

    def is_answered(self) -> bool:
        """Welcomed, or ended without a welcome."""
        return self.welcome is not None or self.ended

    def is_good(self) -> bool:
        """There is no reason to look for another one."""
        silent_seconds = monotonic() - self._heard_at
        return not (self.ended or self.draining or silent_seconds > SILENT_INTERVALS * self._interval_seconds)

    def accept(self) -> None:
        """After the welcome: this is the stream to use. Until then nothing but the hello is said or listened to."""
        assert self.welcome is not None
        self._outbox.attach(self, self.welcome.limits)
        self._decided.set()

    def leave(self) -> None:
        """Says goodbye: the coordinator answers what was reported, then ends the stream."""
        self._leaving = True
        self._outbox.detach(self)
        self._decided.set()

    def close(self) -> None:
        """Ends the stream at once."""
        self.leave()
        self._call.cancel()

    def valid_until(self, sequence: int, valid_for_seconds: float) -> float:
        """When the answer to this heartbeat (0: to the hello) stops counting, by time.monotonic(): from our own
        sending of it, so that no delay on the way makes us believe for too long."""
        sent_at = self._sent_at.pop(sequence, self.began_at)
        return sent_at + valid_for_seconds

    def _say(self) -> Iterator[pb.LeaseRequest]:
        """gRPC draws from this on its own thread, one message after the other as the connection takes them."""
        yield pb.LeaseRequest(hello=self._hello)
        self._decided.wait()
        if self.welcome is None:
            return
        sequence, heartbeat_at = 0, monotonic()
        while not self._leaving:
            if monotonic() >= heartbeat_at:
                sequence += 1
                self._sent_at[sequence] = monotonic()
                heartbeat_at = monotonic() + self._interval_seconds
                yield pb.LeaseRequest(heartbeat=pb.Heartbeat(sequence=sequence, received=self._received))
            elif message := self._outbox.take(self, heartbeat_at - monotonic()):
                yield message

    def _listen(self) -> None:
        try:
            for response in self._call:
                self._heard_at = monotonic()
                match response.WhichOneof('message'):
                    case 'welcome':
                        self._interval_seconds = response.welcome.heartbeat_interval.ToTimedelta().total_seconds()
                        self.welcome = response.welcome
                        self._on_change()
                        self._decided.wait()
                    case 'drain':
                        self.draining = True
                        self._on_change()
                    case 'lease':
                        self._receive(self, response)
                        self._received = response.lease.number
                    case _:
                        self._receive(self, response)
        except grpc.RpcError as error:
            self.error = error
        finally:
            self.leave()
            self.ended = True
            self._channel.close()
            self._on_change()

    def why_ended(self) -> str:
        """For the log."""
        return f'{self.error.code().name}: {self.error.details()}' if self.error is not None else 'the stream ended'

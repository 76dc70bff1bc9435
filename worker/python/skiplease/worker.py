"""A worker's life: connect, work, reconnect, drain."""

import itertools
import logging
import os
import queue
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic

import grpc
from google.protobuf.duration_pb2 import Duration

from . import backoff
from .errors import HelloRefused
from .holdings import Holdings
from .outbox import Outbox
from .runner import BatchHandler, Handler, Runner
from .security import Security
from .session import RECEIVE_BYTES_MAX, Session
from .v1 import worker_service_pb2 as pb

logger = logging.getLogger(__name__)

VERSION = '0.1.0'
TICK_SECONDS = 0.1
"""How often timeouts and the drain deadline are looked at."""
WELCOME_SECONDS = 3.0
"""How long a coordinator may take to answer a hello before the next one is tried."""
RECEIPTS_SECONDS = 5.0
"""How long the last receipts may take after the drain deadline."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HOPELESS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNIMPLEMENTED,
)


class Worker:
    """Handles jobs of some queues until it is stopped."""

    def __init__(
        self,
        addresses: Sequence[str],
        queues: Sequence[str] | Mapping[str, int],
        handlers: Mapping[str, Handler] | None = None,
        batch_handlers: Mapping[str, BatchHandler] | None = None,
        *,
        concurrency: int = 8,
        window_jobs: int | None = None,
        window_bytes: int = 0,
        worker_id: str | None = None,
        drain_deadline_seconds: float = 30.0,
        security: Security | None = None,
    ):
        """
        addresses: coordinators, tried in turn.
        queues: names, or names with the most jobs of each that this worker may hold (0: no cap of its own).
        handlers, batch_handlers: by job type; see runner.Handler and runner.BatchHandler.
        concurrency: handlers, of either kind, that run at once.
        window_jobs, window_bytes: what may be held at once; twice the concurrency and 64 MiB unless given. Batch
            handlers want a window of a lease or two.
        worker_id: a label for people; host:pid unless given.
        drain_deadline_seconds: how long running handlers may go on after stop().
        security: TLS and a token, where the coordinators ask for them.
        """
        self._addresses = itertools.cycle(addresses)
        self._concurrency = concurrency
        self._drain_deadline_seconds = drain_deadline_seconds
        self._security = security or Security()
        self._hello = pb.Hello(
            worker_id=worker_id or f'{socket.gethostname()}:{os.getpid()}',
            instance_id=uuid.uuid4().hex,
            window=pb.Window(jobs=2 * concurrency if window_jobs is None else window_jobs, bytes=window_bytes),
            sdk='skiplease-python',
            sdk_version=VERSION,
            receive_bytes_max=RECEIVE_BYTES_MAX,
        )
        caps = queues if isinstance(queues, Mapping) else dict.fromkeys(queues, 0)
        self._hello.queues.extend(pb.QueueSubscription(queue=name, jobs_max=cap) for name, cap in caps.items())
        self._outbox = Outbox()
        self._holdings = Holdings(self._outbox, (handlers or {}).keys(), (batch_handlers or {}).keys())
        self._runner = Runner(self._holdings, handlers or {}, batch_handlers or {})
        self._current: Session | None = None
        self._failures = 0
        self._stopping = False
        self._drain_until: float | None = None
        # SimpleQueue, because its put() may be called in a signal handler.
        self._nudges: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self) -> None:
        """Works until stop(), or SIGTERM or SIGINT when called on the main thread; a second signal ends the process at
        once. Returns when everything is reported or handed back. HelloRefused: we are not welcome from the start."""
        self._runner.start(self._concurrency)
        with self._signals():
            session: Session | None = None
            while not self._done():
                session = self._connect(session)
                if session is not None:
                    self._use(session)
            if session is not None:
                session.leave()
                self._wait(lambda: session.ended, RECEIPTS_SECONDS)
                session.close()

    def stop(self) -> None:
        """Takes no more jobs, hands back those not started, lets the running ones finish. Safe from any thread."""
        self._stopping = True
        self._nudge()

    def _connect(self, previous: Session | None) -> Session | None:
        """Tries one address after the other until a coordinator welcomes us. A previous stream that is not broken (its
        coordinator is only silent, or about to leave) goes on until then. It is returned when it is good again, or when
        there is nothing left to do."""
        while not self._wait(lambda: self._done() or _is_good(previous), backoff.delay_seconds(self._failures)):
            self._failures += 1
            session = Session(next(self._addresses), self._next_hello(), self._outbox, self._receive, self._nudge, self._security)
            self._wait(session.is_answered, WELCOME_SECONDS)
            if session.welcome:
                # From here on a lease that still comes on the previous stream is not ours: the hello did not name it.
                self._current = session
                self._holdings.resume(session.welcome)
                self._holdings.extend(session.valid_until(0, _seconds(session.welcome.lease_ttl)))
                session.accept()
                logger.info('connected to %s', session.address)
                if previous is not None:
                    previous.close()
                return session
            session.close()
            logger.warning('no stream to %s: %s', session.address, session.why_ended())
            if previous is None and session.error is not None and session.error.code() in HOPELESS:
                raise HelloRefused(f'{session.address}: {session.why_ended()}')
        return previous

    def _use(self, session: Session) -> None:
        """Until there is a reason to look for another stream, or all is done."""
        self._wait(lambda: not session.is_good() or self._done())
        if session.ended:
            logger.warning('lost the stream to %s: %s', session.address, session.why_ended())
        elif not session.is_good():
            logger.info('%s %s', session.address, 'is going away' if session.draining else 'has fallen silent')
        if session.draining or monotonic() - session.began_at > backoff.LONGEST_SECONDS:
            self._failures = 0

    def _next_hello(self) -> pb.Hello:
        hello = pb.Hello()
        hello.CopyFrom(self._hello)
        hello.held_tokens.extend(self._holdings.tokens())
        if self._stopping:
            hello.window.jobs = 0
        return hello

    def _receive(self, session: Session, response: pb.LeaseResponse) -> None:
        match response.WhichOneof('message'):
            case 'receipt':
                self._holdings.settle(response.receipt)
            case 'alive':
                alive = response.alive
                self._holdings.extend(session.valid_until(alive.sequence, _seconds(alive.valid_for)))
            case 'lease' if session is self._current:
                self._holdings.add(response.lease)
            case 'cancel' if session is self._current:
                self._holdings.stop(response.cancel)

    def _done(self) -> bool:
        if self._drain_until is None:
            return False
        return not self._holdings.tokens() or monotonic() > self._drain_until + RECEIPTS_SECONDS

    def _wait(self, condition: Callable[[], object], seconds: float = float('inf')) -> bool:
        """Until the condition holds, seeing to everything that is due meanwhile; False when it did not in time."""
        until = monotonic() + seconds
        while not condition():
            remaining = until - monotonic()
            if remaining <= 0:
                return False
            with suppress(queue.Empty):
                self._nudges.get(timeout=min(TICK_SECONDS, remaining))
            self._tick()
        return True

    def _tick(self) -> None:
        self._holdings.give_up_overdue()
        if self._stopping and self._drain_until is None:
            logger.info('draining')
            self._drain_until = monotonic() + self._drain_deadline_seconds
            self._outbox.put_window(pb.Window(jobs=0))
            self._holdings.drain()
        if self._drain_until is not None and monotonic() >= self._drain_until:
            self._holdings.abandon()

    def _nudge(self) -> None:
        self._nudges.put(None)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(_number: int, _frame: object) -> None:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            self.stop()

        before = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_good(session: Session | None) -> bool:
    return session is not None and session.is_good()


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()

"""What a handler is given."""

import json
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from . import payload
from .errors import JobStopped
from .v1 import worker_service_pb2 as pb

CHECKPOINT_BYTES_MAX = 64 * 1024
"""The contract's limit."""


class Job:
    """One leased job.

    Threads cannot be interrupted, so stopping is a matter of asking: a handler that takes long looks at `stopped`,
    calls `raise_if_stopped()`, or sleeps with `wait()`.
    """

    def __init__(self, leased: pb.LeasedJob, queue: str, token: str, send_progress: Callable[[pb.Progress], None]):
        self.id = leased.id
        self.type = leased.type
        self.queue = queue
        self.payload = leased.payload
        self.content_type = leased.content_type
        self.attempt = leased.attempt
        """Counts from 1."""
        self.max_attempts = leased.max_attempts
        self.headers = dict(leased.headers)
        self.checkpoint = leased.checkpoint
        """What an earlier attempt gave to save_checkpoint(), as bytes; empty when none did."""
        self.priority = leased.priority
        self.token = token
        """Of the lease: proof that this worker holds the job."""
        self.progress_said: pb.Progress | None = None
        self._timeout_seconds = leased.timeout.ToTimedelta().total_seconds() if leased.HasField('timeout') else None
        self.deadline = float('inf')
        """By time.monotonic(); set when its handler starts."""
        self._send_progress = send_progress
        self._stop_event = threading.Event()
        self._stop_reason = ''

    def json(self) -> Any:
        """The payload, parsed."""
        return json.loads(self.payload)

    def progress(self, percent: float, note: str = '') -> None:
        """Tells whoever watches the job how far it is; percent from 0 to 100. Cheap: only the latest is sent."""
        if not 0 <= percent <= 100:
            raise ValueError(f'percent must be from 0 to 100, not {percent}')
        self._say(percent=percent, note=note)

    def save_checkpoint(self, value: Any) -> None:
        """Keeps bytes, or anything that JSON can say, for the next attempt should this one not succeed. Sent as soon as
        may be; nothing confirms it. ValueError above 64 KiB."""
        checkpoint = payload.encode(value)
        if len(checkpoint.data) > CHECKPOINT_BYTES_MAX:
            raise ValueError(f'a checkpoint of {len(checkpoint.data)} bytes, {CHECKPOINT_BYTES_MAX} at most')
        self._say(checkpoint=checkpoint)

    def _say(self, **changes: Any) -> None:
        said = pb.Progress(token=self.token, job_id=self.id)
        if self.progress_said is not None:
            said.CopyFrom(self.progress_said)
        for name, value in changes.items():
            if name == 'checkpoint':
                said.checkpoint.CopyFrom(value)
            else:
                setattr(said, name, value)
        self.progress_said = said
        self._send_progress(said)

    @property
    def stop_reason(self) -> str:
        """CANCELLED, LEASE_LOST, TIMEOUT, STOPPING, or empty while the job may go on."""
        return self._stop_reason or ('TIMEOUT' if monotonic() >= self.deadline else '')

    @property
    def stopped(self) -> bool:
        """Nobody wants this work any more (see stop_reason); what has been done should be rolled back if it can be."""
        return self.stop_reason != ''

    def raise_if_stopped(self) -> None:
        """Raises JobStopped once the job has been stopped."""
        if reason := self.stop_reason:
            raise JobStopped(reason)

    def wait(self, seconds: float) -> None:
        """Sleeps; raises JobStopped as soon as the job is stopped."""
        self._stop_event.wait(max(0.0, min(seconds, self.deadline - monotonic())))
        self.raise_if_stopped()

    # What follows is the worker's, not the handler's.

    def begin(self) -> None:
        """Starts the clock of its timeout."""
        if self._timeout_seconds is not None:
            self.deadline = monotonic() + self._timeout_seconds

    def stop(self, reason: str) -> None:
        """The first reason stays."""
        if not self._stop_reason:
            self._stop_reason = reason
            self._stop_event.set()

"""What waits to be said to the coordinator."""

import threading
from time import monotonic

from .v1 import worker_service_pb2 as pb

OUTCOME_OVERHEAD_BYTES = 16
"""More than the tag and length that protobuf puts before each outcome of a report."""


class Outbox:
    """Everything that is to be written, until the one stream that owns it at the moment takes it.

    Reports batch naturally: whatever has come together while the last message was being written goes as one report.
    Taking is not delivery. When a stream breaks, its successor puts every outcome that has no receipt in again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: object = None
        self._limits = pb.Limits()
        self._window: pb.Window | None = None
        self._progress: dict[str, pb.Progress] = {}
        self._outcomes: dict[str, dict[str, pb.JobOutcome]] = {}

    def attach(self, owner: object, limits: pb.Limits) -> None:
        """From now on only this stream takes."""
        with self._changed:
            self._owner, self._limits = owner, limits
            self._changed.notify_all()

    def detach(self, owner: object) -> None:
        """This stream takes nothing more."""
        with self._changed:
            if self._owner is owner:
                self._owner = None
            self._changed.notify_all()

    def put_window(self, window: pb.Window) -> None:
        with self._changed:
            self._window = window
            self._changed.notify_all()

    def put_progress(self, progress: pb.Progress) -> None:
        """The latest of a job replaces the one before."""
        with self._changed:
            self._progress[progress.job_id] = progress
            self._changed.notify_all()

    def put_outcome(self, token: str, outcome: pb.JobOutcome) -> None:
        """The latest of a job replaces the one before."""
        with self._changed:
            self._outcomes.setdefault(token, {})[outcome.job_id] = outcome
            self._changed.notify_all()

    def take(self, owner: object, timeout_seconds: float) -> pb.LeaseRequest | None:
        """The next message to write; None when there was none in time, or the stream does not own the outbox."""
        deadline = monotonic() + timeout_seconds
        with self._changed:
            while self._owner is owner:
                if message := self._next():
                    return message
                remaining = deadline - monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            return None

    def _next(self) -> pb.LeaseRequest | None:
        if self._window is not None:
            window, self._window = self._window, None
            return pb.LeaseRequest(window=window)
        # Before the outcome of the same job, after which nobody would listen.
        if self._progress:
            return pb.LeaseRequest(progress=self._progress.pop(next(iter(self._progress))))
        if self._outcomes:
            return pb.LeaseRequest(report=self._next_report())
        return None

    def _next_report(self) -> pb.Report:
        token, outcomes = next(iter(self._outcomes.items()))
        report = pb.Report(token=token)
        # Half, because the limit is for a whole message and one outcome alone is far below it.
        room_bytes = self._limits.receive_bytes_max // 2
        while outcomes:
            outcome = next(iter(outcomes.values()))
            room_bytes -= outcome.ByteSize() + OUTCOME_OVERHEAD_BYTES
            full = room_bytes < 0 or len(report.outcomes) >= self._limits.report_outcomes_max
            if full and report.outcomes:
                break
            report.outcomes.append(outcomes.pop(outcome.job_id))
        if not outcomes:
            del self._outcomes[token]
        return report

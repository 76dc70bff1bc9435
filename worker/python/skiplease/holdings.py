"""Everything that this worker holds, from the lease to the receipt."""

import logging
import threading
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from . import outcome as outcomes
from .job import Job
from .outbox import Outbox
from .v1 import worker_service_pb2 as pb

logger = logging.getLogger(__name__)

NO_HANDLER_DELAY_SECONDS = 10
"""How long a job of a type that this worker does not know stays away, so that another worker gets it."""

TIMEOUT_GRACE_SECONDS = 1.0
"""How long a handler may go on past its job's timeout, to come out by itself, before it is reported without it."""


class Phase(Enum):
    WAITING = 1
    RUNNING = 2
    REPORTED = 3


@dataclass(eq=False)
class Hold:
    """One job on its way. Only a receipt ends it, so nothing is forgotten however often the stream breaks."""

    job: Job
    phase: Phase = Phase.WAITING
    outcome: pb.JobOutcome | None = None


class Holdings:
    """All holds, behind one lock. Handler threads take jobs and finish them; the stream adds, stops and settles."""

    def __init__(self, outbox: Outbox, types: Collection[str], batch_types: Collection[str]):
        """`types` are handled one job at a time, `batch_types` all together that came in one lease."""
        self._outbox = outbox
        self._types = types
        self._batch_types = batch_types
        self._leases: dict[str, dict[str, Hold]] = {}
        self._units: deque[list[Hold]] = deque()
        self._changed = threading.Condition()
        self._valid_until = 0.0
        self._outcome_bytes_max = 0
        self._draining = False

    # For handler threads.

    def take(self) -> list[Job]:
        """Waits for the next jobs to work on: one, or a batch of one type. Empty: there will be no more."""
        with self._changed:
            while not self._draining:
                # Past the validity somebody else may hold these jobs by now: start nothing (a new one wakes us).
                if self._units and monotonic() < self._valid_until:
                    unit = [hold for hold in self._units.popleft() if hold.phase is Phase.WAITING]
                    for hold in unit:
                        hold.phase = Phase.RUNNING
                        hold.job.begin()
                    if unit:
                        return [hold.job for hold in unit]
                else:
                    self._changed.wait()
            return []

    def finish(self, finished: Iterable[pb.JobOutcome], token: str) -> None:
        """What a handler made of jobs of one lease. Ignored for those that were given up in the meantime."""
        with self._changed:
            for outcome in finished:
                hold = self._find(token, outcome.job_id)
                if hold is not None and hold.phase is Phase.RUNNING:
                    self._report(hold, outcome)

    # For the stream.

    def add(self, lease: pb.Lease) -> None:
        """Jobs for us. Those that nothing here can handle go back at once."""
        with self._changed:
            batches: dict[str, list[Hold]] = {}
            unknown: dict[str, int] = {}
            holds = self._leases.setdefault(lease.token, {})
            for leased in lease.jobs:
                hold = holds[leased.id] = Hold(Job(leased, lease.queue, lease.token, self._outbox.put_progress))
                if self._draining:
                    self._report(hold, outcomes.released(leased.id))
                elif leased.type in self._batch_types:
                    batches.setdefault(leased.type, []).append(hold)
                elif leased.type in self._types:
                    self._units.append([hold])
                else:
                    unknown[leased.type] = unknown.get(leased.type, 0) + 1
                    self._report(hold, outcomes.released(leased.id, NO_HANDLER_DELAY_SECONDS))
            self._units.extend(batches.values())
            self._changed.notify_all()
        for job_type, count in unknown.items():
            logger.warning('no handler for the job type %s: %d jobs of %s go back', job_type, count, lease.queue)

    def settle(self, receipt: pb.Receipt) -> None:
        """The end of each job that the receipt names; one whose report was refused is reported again, differently."""
        with self._changed:
            for said in receipt.jobs:
                hold = self._find(receipt.token, said.job_id)
                if hold is None:
                    continue
                if said.status == pb.RECEIPT_STATUS_INVALID and hold.outcome is not None:
                    logger.error('the report of job %s was refused: %s', said.job_id, said.message)
                    if other := outcomes.after_refusal(hold.outcome, said.message):
                        self._report(hold, other)
                        continue
                elif said.status in (pb.RECEIPT_STATUS_LEASE_LOST, pb.RECEIPT_STATUS_CANCELLED):
                    status = pb.ReceiptStatus.Name(said.status)
                    logger.warning('job %s was no longer ours to report: %s', said.job_id, status)
                self._forget(receipt.token, said.job_id)

    def stop(self, cancel: pb.Cancel) -> None:
        """Somebody cancelled jobs, or their lease is lost."""
        with self._changed:
            holds = self._leases.get(cancel.token, {})
            wanted = set(cancel.job_ids) or set(holds)
            reason = 'CANCELLED' if cancel.reason == pb.CANCEL_REASON_JOB_CANCELLED else 'LEASE_LOST'
            self._stop([hold for job_id, hold in holds.items() if job_id in wanted], reason)

    def resume(self, welcome: pb.Welcome) -> None:
        """After a new stream's welcome: stops what is ours no longer, and says again what has no receipt yet."""
        with self._changed:
            self._outcome_bytes_max = welcome.limits.receive_bytes_max // 2
            ours = {(lease.token, job_id) for lease in welcome.resumed for job_id in lease.job_ids}
            for token, holds in self._leases.items():
                self._stop([hold for job_id, hold in holds.items() if (token, job_id) not in ours], 'LEASE_LOST')
            for hold in self._all():
                if hold.outcome is not None:
                    self._outbox.put_outcome(hold.job.token, hold.outcome)
                elif hold.job.progress_said is not None:
                    self._outbox.put_progress(hold.job.progress_said)

    def extend(self, valid_until: float) -> None:
        """Jobs may be started until then, in seconds of time.monotonic()."""
        with self._changed:
            self._valid_until = max(self._valid_until, valid_until)
            self._changed.notify_all()

    # For the worker's life.

    def tokens(self) -> list[str]:
        """Of every lease that is not over: what the next hello names."""
        with self._changed:
            return list(self._leases)

    def give_up_overdue(self) -> None:
        """Fails attempts that outlasted their timeout. A thread cannot be killed: what it still says is ignored."""
        late = monotonic() - TIMEOUT_GRACE_SECONDS
        with self._changed:
            for hold in self._all():
                if hold.phase is Phase.RUNNING and hold.job.deadline < late:
                    hold.job.stop('TIMEOUT')
                    self._report(hold, outcomes.timed_out(hold.job.id))

    def drain(self) -> None:
        """Starts nothing more and hands back what has not been started."""
        with self._changed:
            self._draining = True
            self._stop([hold for hold in self._all() if hold.phase is Phase.WAITING], 'STOPPING')
            self._changed.notify_all()

    def abandon(self) -> None:
        """Hands back what is still running; the process is about to end."""
        with self._changed:
            for hold in self._all():
                if hold.phase is Phase.RUNNING:
                    hold.job.stop('STOPPING')
                    self._report(hold, outcomes.released(hold.job.id))

    # All below is called with the lock held.

    def _find(self, token: str, job_id: str) -> Hold | None:
        return self._leases.get(token, {}).get(job_id)

    def _all(self) -> list[Hold]:
        return [hold for holds in self._leases.values() for hold in holds.values()]

    def _stop(self, holds: list[Hold], reason: str) -> None:
        """Running handlers are told, and report when they come out; what waits is reported now."""
        for hold in holds:
            hold.job.stop(reason)
            if hold.phase is Phase.WAITING:
                self._report(hold, outcomes.released(hold.job.id))

    def _report(self, hold: Hold, outcome: pb.JobOutcome) -> None:
        if self._outcome_bytes_max and outcome.ByteSize() > self._outcome_bytes_max:
            outcome = outcomes.failed(hold.job.id, 'RESULT_TOO_LARGE', 'the result does not fit a message')
        hold.phase, hold.outcome = Phase.REPORTED, outcome
        self._outbox.put_outcome(hold.job.token, outcome)

    def _forget(self, token: str, job_id: str) -> None:
        del self._leases[token][job_id]
        if not self._leases[token]:
            del self._leases[token]

"""Runs handlers on threads of their own."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from . import outcome as outcomes
from .holdings import Holdings
from .job import Job
from .v1 import worker_service_pb2 as pb

Handler = Callable[[Job], Any]
"""Returns the job's result: None, bytes, or anything that JSON can say. Raises to fail it (see errors)."""

BatchHandler = Callable[[list[Job]], Mapping[str, Any]]
"""Returns, by job id, each job's result, or the exception that it would have raised alone. Raises to fail them all."""


class Runner:
    """A fixed number of threads, each with one job, or one batch, at a time."""

    def __init__(self, holdings: Holdings, handlers: Mapping[str, Handler], batch_handlers: Mapping[str, BatchHandler]):
        self._holdings = holdings
        self._handlers = handlers
        self._batch_handlers = batch_handlers

    def start(self, concurrency: int) -> None:
        """The threads end by themselves once the holdings drain; one that hangs does not keep the process alive."""
        for number in range(concurrency):
            threading.Thread(target=self._work, name=f'skiplease-handler-{number}', daemon=True).start()

    def _work(self) -> None:
        while jobs := self._holdings.take():
            batch_handler = self._batch_handlers.get(jobs[0].type)
            if batch_handler is not None:
                finished = run_batch(batch_handler, jobs)
            else:
                finished = [run_one(self._handlers[jobs[0].type], jobs[0])]
            self._holdings.finish(finished, jobs[0].token)


def run_one(handler: Handler, job: Job) -> pb.JobOutcome:
    """Never raises: whatever a handler throws, even SystemExit, is an outcome of its job."""
    try:
        return outcomes.succeeded(job.id, handler(job))
    except BaseException as error:
        return outcomes.from_exception(job.id, error, job.stop_reason)


def run_batch(handler: BatchHandler, jobs: list[Job]) -> list[pb.JobOutcome]:
    """One outcome for each job, also for those that the handler forgot."""
    try:
        returned = handler(jobs)
    except BaseException as error:
        return [outcomes.from_exception(job.id, error, job.stop_reason) for job in jobs]
    return [_outcome_of(job, returned) for job in jobs]


def _outcome_of(job: Job, returned: Mapping[str, Any]) -> pb.JobOutcome:
    if job.id not in returned:
        return outcomes.failed(job.id, 'OUTCOME_MISSING', 'the batch handler returned nothing for this job')
    value = returned[job.id]
    if isinstance(value, BaseException):
        return outcomes.from_exception(job.id, value, job.stop_reason)
    return outcomes.succeeded(job.id, value)

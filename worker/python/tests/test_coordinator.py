"""The worker on a real coordinator: what handlers do, seen from the submitter's side."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from pytest import fixture, raises

from skiplease import HelloRefused, Job, PermanentError, RetryAfter, Snooze, Worker
from skiplease.v1 import job_pb2, job_service_pb2
from skiplease.v1.job_service_pb2_grpc import JobServiceStub

from .tcp_proxy import TcpProxy

DEADLINE_SECONDS = 30
FINAL = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)


class Submitter:
    """Submits to a queue of its own, and looks."""

    def __init__(self, channel: grpc.Channel):
        self.queue = f'python-{uuid.uuid4()}'
        self.jobs = JobServiceStub(channel)

    def submit(self, job_type: str, **fields: Any) -> str:
        payload = job_pb2.Payload(json_text='{"number":7}')
        spec = job_pb2.JobSpec(queue=self.queue, type=job_type, payload=payload, **fields)
        answer = self.jobs.SubmitJob(job_service_pb2.SubmitJobRequest(job=spec), timeout=DEADLINE_SECONDS)
        return str(answer.job_id)

    def get(self, job_id: str) -> job_pb2.Job:
        answer = self.jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job_id), timeout=DEADLINE_SECONDS)
        return answer.job

    def cancel(self, job_id: str) -> None:
        request = job_service_pb2.CancelJobsRequest(job_ids=[job_id], reason='a test wants it')
        self.jobs.CancelJobs(request, timeout=DEADLINE_SECONDS)

    def finished(self, job_id: str) -> job_pb2.Job:
        return self.when(job_id, lambda job: job.state in FINAL)

    def when(self, job_id: str, condition: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition(job := self.get(job_id)):
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job


@fixture
def submitter(coordinator_address: str) -> Iterator[Submitter]:
    with grpc.insecure_channel(coordinator_address) as channel:
        yield Submitter(channel)


@contextmanager
def working(
    address: str, queue: str, handlers: Mapping[str, Callable[[Job], Any]], **options: Any
) -> Iterator[tuple[Worker, threading.Thread]]:
    """A worker on a thread, that must end cleanly."""
    worker = Worker([address], [queue], handlers, **options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker, thread
    finally:
        worker.stop()
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


def test_each_ending_of_a_handler_is_recorded(coordinator_address: str, submitter: Submitter) -> None:
    def fail(_: Job) -> None:
        raise PermanentError('NO_SUCH_CARD', 'it is not there')

    def fail_once(job: Job) -> Any:
        if job.attempt == 1:
            raise RetryAfter(0.05, 'BUSY', 'come back')
        return job.attempt

    def crash(_: Job) -> None:
        raise ZeroDivisionError('oops')

    handlers = {'ok': lambda job: {'was': job.json()['number']}, 'fail': fail, 'again': fail_once, 'crash': crash}
    with working(coordinator_address, submitter.queue, handlers):
        ids = {job_type: submitter.submit(job_type, max_attempts=2) for job_type in ('ok', 'fail', 'again')}
        ids['crash'] = submitter.submit('crash', max_attempts=1)
        ended = {job_type: submitter.finished(job_id) for job_type, job_id in ids.items()}
    assert ended['ok'].state == job_pb2.JOB_STATE_SUCCEEDED
    assert ended['ok'].result.json['was'] == 7
    assert (ended['fail'].state, ended['fail'].error.code) == (job_pb2.JOB_STATE_FAILED, 'NO_SUCH_CARD')
    assert (ended['again'].state, ended['again'].attempt) == (job_pb2.JOB_STATE_SUCCEEDED, 2)
    assert [attempt.error.code for attempt in ended['again'].attempts] == ['BUSY']
    assert (ended['crash'].state, ended['crash'].error.code) == (job_pb2.JOB_STATE_FAILED, 'ZERO_DIVISION_ERROR')


def test_a_snoozed_job_comes_back_and_spends_no_attempt(coordinator_address: str, submitter: Submitter) -> None:
    seen: SimpleQueue[int] = SimpleQueue()

    def snooze_once(job: Job) -> None:
        seen.put(job.attempt)
        if seen.qsize() == 1:
            raise Snooze(0.05)

    with working(coordinator_address, submitter.queue, {'nap': snooze_once}):
        job = submitter.finished(submitter.submit('nap'))
    assert (job.state, job.attempt, seen.qsize()) == (job_pb2.JOB_STATE_SUCCEEDED, 1, 2)


def test_the_next_attempt_gets_the_checkpoint(coordinator_address: str, submitter: Submitter) -> None:
    looked = threading.Event()

    def in_two_goes(job: Job) -> Any:
        if job.attempt == 1:
            job.progress(50, 'half of it')
            job.save_checkpoint({'row': 500})
            assert looked.wait(DEADLINE_SECONDS)
            raise RetryAfter(0)
        return {'checkpoint': json.loads(job.checkpoint)}

    with working(coordinator_address, submitter.queue, {'long': in_two_goes}):
        job_id = submitter.submit('long')
        running = submitter.when(job_id, lambda job: job.progress.has_checkpoint)
        looked.set()
        ended = submitter.finished(job_id)
    assert (running.progress.percent, running.progress.note) == (50, 'half of it')
    assert (ended.attempt, MessageToDict(ended.result.json)) == (2, {'checkpoint': {'row': 500}})


def test_a_cut_connection_costs_no_attempt_and_the_handler_runs_once(
    coordinator_address: str, submitter: Submitter
) -> None:
    proxy = TcpProxy(coordinator_address)
    started, go_on = threading.Event(), threading.Event()
    attempts: list[int] = []

    def slow(job: Job) -> Any:
        attempts.append(job.attempt)
        started.set()
        assert go_on.wait(DEADLINE_SECONDS)
        return {'stopped': job.stopped}

    try:
        with working(proxy.address, submitter.queue, {'slow': slow, 'quick': lambda job: None}):
            slow_id = submitter.submit('slow')
            assert started.wait(DEADLINE_SECONDS)
            proxy.cut()
            # The worker is back once this is done.
            submitter.finished(submitter.submit('quick'))
            proxy.cut()
            go_on.set()
            job = submitter.finished(slow_id)
    finally:
        proxy.close()
    assert (job.state, job.attempt, attempts) == (job_pb2.JOB_STATE_SUCCEEDED, 1, [1])
    assert job.result.json['stopped'] is False


def test_a_cancelled_job_is_told_so(coordinator_address: str, submitter: Submitter) -> None:
    started = threading.Event()
    reasons: SimpleQueue[str] = SimpleQueue()

    def until_stopped(job: Job) -> None:
        started.set()
        try:
            job.wait(DEADLINE_SECONDS)
        finally:
            reasons.put(job.stop_reason)

    with working(coordinator_address, submitter.queue, {'endless': until_stopped}):
        job_id = submitter.submit('endless')
        assert started.wait(DEADLINE_SECONDS)
        submitter.cancel(job_id)
        assert reasons.get(timeout=DEADLINE_SECONDS) == 'CANCELLED'
        assert submitter.get(job_id).state == job_pb2.JOB_STATE_CANCELLED


def test_an_attempt_that_takes_too_long_fails(coordinator_address: str, submitter: Submitter) -> None:
    def too_long(job: Job) -> None:
        job.wait(DEADLINE_SECONDS)

    with working(coordinator_address, submitter.queue, {'slow': too_long}):
        job = submitter.finished(submitter.submit('slow', timeout=Duration(nanos=50_000_000), max_attempts=1))
    assert (job.state, job.error.code) == (job_pb2.JOB_STATE_FAILED, 'TIMEOUT')


def test_a_stopping_worker_ends_what_runs_and_hands_back_the_rest(
    coordinator_address: str, submitter: Submitter
) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(_: Job) -> None:
        started.set()
        assert go_on.wait(DEADLINE_SECONDS)

    with working(coordinator_address, submitter.queue, {'slow': slow}, concurrency=1, window_jobs=10) as (worker, _):
        first = submitter.submit('slow', priority=9)
        assert started.wait(DEADLINE_SECONDS)
        waiting = [submitter.submit('slow') for _ in range(5)]
        for job_id in waiting:
            submitter.when(job_id, lambda job: job.state == job_pb2.JOB_STATE_LEASED)
        worker.stop()
        for job_id in waiting:
            submitter.when(job_id, lambda job: job.state == job_pb2.JOB_STATE_READY)
        go_on.set()
        assert submitter.finished(first).state == job_pb2.JOB_STATE_SUCCEEDED
    assert [submitter.get(job_id).attempt for job_id in waiting] == [0] * 5


def test_what_still_runs_at_the_drain_deadline_is_handed_back(coordinator_address: str, submitter: Submitter) -> None:
    started = threading.Event()
    reasons: SimpleQueue[str] = SimpleQueue()

    def stubborn(job: Job) -> None:
        started.set()
        try:
            job.wait(DEADLINE_SECONDS)
        finally:
            reasons.put(job.stop_reason)

    with working(coordinator_address, submitter.queue, {'stubborn': stubborn}, drain_deadline_seconds=0.2) as (
        worker,
        thread,
    ):
        job_id = submitter.submit('stubborn')
        assert started.wait(DEADLINE_SECONDS)
        worker.stop()
        thread.join(DEADLINE_SECONDS)
        assert submitter.get(job_id).state == job_pb2.JOB_STATE_READY
        assert reasons.get(timeout=DEADLINE_SECONDS) == 'STOPPING'


def test_a_worker_that_is_set_up_wrongly_is_told_so(coordinator_address: str) -> None:
    with raises(HelloRefused, match='INVALID_ARGUMENT'):
        Worker([coordinator_address], ['no such name!'], {}).run()

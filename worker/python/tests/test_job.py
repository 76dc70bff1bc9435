"""What a handler can see and say, and what becomes of a batch."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from pytest import raises

from skiplease import Job, JobStopped, PermanentError
from skiplease.runner import run_batch, run_one
from skiplease.v1 import worker_service_pb2 as pb


def job_of(job_id: str = 'a', said: list[pb.Progress] | None = None, **fields: Any) -> Job:
    leased = pb.LeasedJob(id=job_id, type='send', attempt=1, max_attempts=3, **fields)
    return Job(leased, 'mail', '1.a', (lambda _: None) if said is None else said.append)


def test_progress_and_checkpoint_do_not_undo_each_other() -> None:
    said: list[pb.Progress] = []
    job = job_of(said=said)
    job.progress(40, 'forty')
    job.save_checkpoint({'row': 7})
    job.progress(50)
    assert [(each.percent, each.note) for each in said] == [(40, 'forty'), (40, 'forty'), (50, '')]
    assert said[2].checkpoint.data == b'{"row":7}'
    assert not said[0].HasField('checkpoint')


def test_what_the_coordinator_would_refuse_is_refused_here() -> None:
    with raises(ValueError):
        job_of().progress(101)
    with raises(ValueError):
        job_of().save_checkpoint(bytes(64 * 1024 + 1))


def test_the_first_reason_to_stop_stays() -> None:
    job = job_of()
    assert not job.stopped
    job.wait(0)
    job.stop('CANCELLED')
    job.stop('STOPPING')
    with raises(JobStopped, match='CANCELLED'):
        job.wait(60)


def test_a_timeout_counts_from_the_start_of_the_handler() -> None:
    job = job_of(timeout=Duration(nanos=1_000_000))
    assert not job.stopped
    job.begin()
    with raises(JobStopped, match='TIMEOUT'):
        job.wait(60)


def test_whatever_a_handler_throws_is_an_outcome() -> None:
    def leave(_: Job) -> None:
        raise SystemExit(3)

    assert run_one(leave, job_of()).failed.error.code == 'SYSTEM_EXIT'
    assert run_one(lambda job: object(), job_of()).failed.error.code == 'RESULT_NOT_JSON'
    assert run_one(lambda job: job.attempt, job_of()).succeeded.result.data == b'1'


def test_a_batch_has_an_outcome_for_each_job() -> None:
    jobs = [job_of(job_id) for job_id in 'abcd']
    answers = {'a': {'ok': True}, 'b': PermanentError('NO', 'never'), 'c': {1, 2}}
    a, b, c, d = run_batch(lambda _: answers, jobs)
    assert a.succeeded.result.data == b'{"ok":true}'
    assert b.failed.permanent
    assert c.failed.error.code == 'RESULT_NOT_JSON'
    assert d.failed.error.code == 'OUTCOME_MISSING'


def test_a_batch_that_throws_fails_each_job() -> None:
    def fail(_: list[Job]) -> dict[str, Any]:
        raise ConnectionError('database is away')

    assert {each.failed.error.code for each in run_batch(fail, [job_of('a'), job_of('b')])} == {'CONNECTION_ERROR'}

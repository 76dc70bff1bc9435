"""The payments handler on a real ledger."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool
from pytest import MonkeyPatch, fixture, raises

from payments import ledger
from payments.capture import capture_lease
from skiplease import Job, Snooze
from skiplease.v1 import worker_service_pb2 as pb

FIELDS = {'merchant': 'Blue Door Books', 'iban': 'DE89370400440532013000', 'currency': 'EUR', 'amount': '10.00'}


@fixture
def pool(database_url: str) -> Iterator[ConnectionPool]:
    with ConnectionPool(database_url, min_size=1, max_size=2, timeout=10) as pool:
        with pool.connection() as connection:
            ledger.prepare(connection)
        yield pool


@fixture
def run() -> str:
    return str(uuid.uuid4())


def job_of(run: str, reference: str, attempt: int = 1, job_id: str = '', **fields: Any) -> Job:
    payload = json.dumps({'run': run, 'reference': reference, 'token': 'tok_visa', **FIELDS, **fields}).encode()
    leased = pb.LeasedJob(id=job_id or str(uuid.uuid4()), payload=payload, attempt=attempt, max_attempts=3)
    return Job(leased, 'payments', '1.a', lambda _: None)


def codes(jobs: list[Job], outcomes: dict[str, Any]) -> list[str]:
    said = [outcomes[job.id] for job in jobs]
    return [str(each['outcome'] if isinstance(each, dict) else getattr(each, 'code', each)) for each in said]


def postings(connection: psycopg.Connection, run: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        'select i.reference, p.account, p.currency, p.amount_minor::int from ledger.intent i'
        ' join ledger.entry e on e.intent_id = i.id join ledger.posting p on p.entry_id = e.id'
        ' where i.run = %s order by i.reference, p.amount_minor desc',
        [run],
    ).fetchall()


def test_a_declined_payment_takes_back_what_it_wrote_and_nothing_of_its_neighbours(
    pool: ConnectionPool, run: str
) -> None:
    jobs = [
        job_of(run, 'd', amount='0.10'),
        job_of(run, 'b', token='tok_decline_do_not_honor'),
        job_of(run, 'c', token='tok_provider_down'),
        job_of(run, 'a'),
        job_of(run, 'e', iban='DE88370400440532013000'),
        job_of(run, 'f', copy=2**31),
    ]
    outcomes = capture_lease(pool, 'w')(jobs)
    expected = ['captured', 'CARD_DECLINED', 'PROVIDER_UNAVAILABLE', 'captured', 'INVALID_IBAN']
    assert codes(jobs, outcomes)[:5] == expected
    assert str(outcomes[jobs[1].id]) == 'do not honor'
    assert isinstance(outcomes[jobs[5].id], psycopg.Error)
    with pool.connection() as connection:
        assert postings(connection, run) == [
            ('a', 'provider', 'EUR', 1000),
            ('a', 'fees', 'EUR', -15),
            ('a', 'merchant: Blue Door Books', 'EUR', -985),
            ('d', 'provider', 'EUR', 10),
            ('d', 'merchant: Blue Door Books', 'EUR', -10),
        ]


def test_a_time_out_at_the_provider_succeeds_at_a_later_attempt(pool: ConnectionPool, run: str) -> None:
    said = []
    for attempt in (1, 2, 3):
        job = job_of(run, 'a', attempt, token='tok_timeout_twice')
        said += codes([job], capture_lease(pool, 'w')([job]))
    assert said == ['PROVIDER_TIMEOUT', 'PROVIDER_TIMEOUT', 'captured']


def test_a_job_that_comes_again_a_duplicate_and_a_conflict_capture_nothing(pool: ConnectionPool, run: str) -> None:
    handle = capture_lease(pool, 'w')
    first = job_of(run, 'a')
    handle([first])
    again = job_of(run, 'a', attempt=2, job_id=first.id)
    assert handle([again])[first.id] == {'outcome': 'captured', 'worker': 'w', 'redelivered': True}
    others = [job_of(run, 'a'), job_of(run, 'a', amount='11.00')]
    assert codes(others, handle(others)) == ['duplicate', 'REFERENCE_CONFLICT']
    with pool.connection() as connection:
        assert len(postings(connection, run)) == 3


def test_a_stopped_job_is_left_out(pool: ConnectionPool, run: str) -> None:
    jobs = [job_of(run, 'a'), job_of(run, 'b')]
    jobs[0].stop('CANCELLED')
    assert codes(jobs, capture_lease(pool, 'w')(jobs)) == ['CANCELLED', 'captured']


def test_a_lease_is_put_off_when_the_connection_breaks_and_nothing_of_it_stays(
    pool: ConnectionPool, run: str, database_url: str, monkeypatch: MonkeyPatch
) -> None:
    capture = ledger.capture

    def capture_until_cut(connection: psycopg.Connection, *rest: Any) -> str:
        answer = capture(connection, *rest)
        if rest[0].reference == 'b':
            with psycopg.connect(database_url) as other:
                other.execute('select pg_terminate_backend(%s)', [connection.info.backend_pid])
        return answer

    monkeypatch.setattr(ledger, 'capture', capture_until_cut)
    with raises(Snooze):
        capture_lease(pool, 'w')([job_of(run, reference) for reference in 'abc'])
    monkeypatch.undo()
    with pool.connection() as connection:
        assert postings(connection, run) == []
    jobs = [job_of(run, reference) for reference in 'abc']
    assert codes(jobs, capture_lease(pool, 'w')(jobs)) == ['captured'] * 3


def test_a_ledger_that_is_somebody_elses_is_left_alone(pool: ConnectionPool) -> None:
    with pool.connection() as connection, connection.transaction(force_rollback=True):
        connection.execute("comment on schema ledger is 'not yours'")
        with raises(ledger.ForeignLedgerError):
            ledger.prepare(connection)

"""Handles a whole lease of payments in one transaction, with a savepoint for each payment: one that is declined takes
back what it wrote, and nothing of its neighbours."""

from collections.abc import Callable
from json import JSONDecodeError
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout
from stdnum import iban

from skiplease import Job, JobStopped, PermanentError, Snooze

from . import ledger, provider
from .intent import IntentError, Payment, payment_of

LEDGER_AWAY_SECONDS = 1.0
"""How long a lease is put off when the ledger's database cannot be reached."""


def capture_lease(pool: ConnectionPool, worker_id: str) -> Callable[[list[Job]], dict[str, Any]]:
    """The batch handler of payment.capture: by job id, a result or what the job fails with."""

    def handle(jobs: list[Job]) -> dict[str, Any]:
        outcomes: dict[str, Any] = {}
        payments: list[tuple[Payment, Job]] = []
        for job in jobs:
            try:
                payments.append((read_payment(job), job))
            except PermanentError as error:
                outcomes[job.id] = error
        payments.sort(key=lambda each: each[0].ledger_key)
        try:
            # Commits at its end. Should that be cut off, then the jobs come back, find themselves in the ledger (or
            # not), and capture nothing twice.
            with pool.connection() as connection, connection.transaction():
                for payment, job in payments:
                    outcomes[job.id] = capture_or_error(connection, payment, job, worker_id)
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise Snooze(LEDGER_AWAY_SECONDS) from error
        return outcomes

    return handle


def read_payment(job: Job) -> Payment:
    """Raises PermanentError: what is wrong with a payload stays wrong."""
    try:
        payment = payment_of(job.json())
    except (IntentError, JSONDecodeError, UnicodeDecodeError) as error:
        raise PermanentError('BAD_INTENT', str(error)) from error
    if not iban.is_valid(payment.iban) or iban.compact(payment.iban) != payment.iban:
        raise PermanentError('INVALID_IBAN', f'{payment.iban} fails its check digits')
    return payment


def capture_or_error(connection: psycopg.Connection, payment: Payment, job: Job, worker_id: str) -> Any:
    """A savepoint, and in it one payment. Raises only when the connection is lost."""
    if job.stopped:
        return JobStopped(job.stop_reason)
    try:
        with connection.transaction():
            return capture_payment(connection, payment, job, worker_id)
    except Exception as error:
        if connection.broken:
            raise
        return error


def capture_payment(connection: psycopg.Connection, payment: Payment, job: Job, worker_id: str) -> dict[str, Any]:
    """Raises what the job is to fail with; then nothing of it may stay."""
    match ledger.capture(connection, payment, job, worker_id):
        case 'redelivered':
            return {'outcome': 'captured', 'worker': worker_id, 'redelivered': True}
        case 'duplicate':
            return {'outcome': 'duplicate', 'worker': worker_id}
        case 'conflict':
            raise PermanentError('REFERENCE_CONFLICT', f'{payment.reference} was used before, for another payment')
    provider.charge(payment.token, job.attempt)
    return {'outcome': 'captured', 'worker': worker_id}

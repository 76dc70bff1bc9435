"""The ledger as the handler sees it. Its rules are in worker/payments/ledger.sql, for workers of every language."""

from pathlib import Path

import psycopg

from skiplease import Job

from .intent import Payment

SCHEMA = Path(__file__).parents[2] / 'payments' / 'ledger.sql'
SCHEMA_COMMENT = 'Skiplease payments demo'
SCHEMA_LOCK = 7_420_001
"""Of the advisory lock under which one worker at a time, in any language, makes the schema."""


class ForeignLedgerError(Exception):
    """The database has a schema named ledger that is somebody else's."""


def prepare(connection: psycopg.Connection) -> None:
    """Makes the schema where it is missing. Safe to call from many processes at once. Raises ForeignLedgerError."""
    with connection.transaction():
        connection.execute('select pg_advisory_xact_lock(%s)', [SCHEMA_LOCK])
        found = connection.execute(
            "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'ledger'"
        ).fetchone()
        if found is not None and found[0] != SCHEMA_COMMENT:
            raise ForeignLedgerError(
                "the database has a schema named ledger that is not this demo's: give the demo a database of its own"
            )
        connection.execute('set local client_min_messages = warning')
        connection.execute(SCHEMA.read_bytes())


def capture(connection: psycopg.Connection, payment: Payment, job: Job, worker_id: str) -> str:
    """In the caller's transaction: captured, redelivered, duplicate or conflict (see ledger.sql)."""
    row = connection.execute(
        'select ledger.capture(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)',
        [
            payment.run,
            payment.copy,
            payment.reference,
            payment.line,
            job.id,
            job.attempt,
            worker_id,
            payment.merchant,
            payment.currency,
            payment.amount_minor,
        ],
    ).fetchone()
    assert row is not None
    return str(row[0])

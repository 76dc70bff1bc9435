"""Captures the demo's payments: the sibling of worker/payments/worker.ts, with the same settings.

SKIPLEASE_ADDRESSES     coordinators, separated by commas; 127.0.0.1:7420 unless set
DATABASE_URL            of the ledger; unless set, what a coordinator with an embedded database has written into
SKIPLEASE_DATA_DIR      its data folder; ./data unless set
SKIPLEASE_WORKER_ID     a label; payments-python:pid unless set
SKIPLEASE_WINDOW_JOBS   how many jobs to hold at once; 1000 unless set: two leases of the usual size
"""

import logging
import os
import sys
from pathlib import Path

from psycopg_pool import ConnectionPool, PoolTimeout

from payments import ledger
from payments.capture import capture_lease
from skiplease import HelloRefused, Worker

CONCURRENCY = 2
"""Leases that are captured at once, each in a transaction of its own."""
START_SECONDS = 30
"""How long the database may take to come up: it may be started together with this worker."""
CONNECTION_SECONDS = 10
"""How long a lease waits for a connection before it is put off."""


def database_url() -> str:
    if url := os.environ.get('DATABASE_URL'):
        return url
    file = Path(os.environ.get('SKIPLEASE_DATA_DIR') or 'data', 'database_url')
    try:
        return file.read_text().strip()
    except OSError as error:
        sys.exit(f'There is no DATABASE_URL, and no coordinator has written {file} ({error.strerror}).')


def main() -> None:
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(name)s: %(message)s')
    addresses = (os.environ.get('SKIPLEASE_ADDRESSES') or '127.0.0.1:7420').split(',')
    worker_id = os.environ.get('SKIPLEASE_WORKER_ID') or f'payments-python:{os.getpid()}'
    window_jobs = int(os.environ.get('SKIPLEASE_WINDOW_JOBS') or 1000)
    with ConnectionPool(database_url(), min_size=1, max_size=CONCURRENCY, timeout=CONNECTION_SECONDS) as pool:
        pool.wait(START_SECONDS)
        with pool.connection() as connection:
            ledger.prepare(connection)
        Worker(
            addresses=[address.strip() for address in addresses],
            queues=['payments'],
            batch_handlers={'payment.capture': capture_lease(pool, worker_id)},
            concurrency=CONCURRENCY,
            window_jobs=window_jobs,
            worker_id=worker_id,
        ).run()


if __name__ == '__main__':
    try:
        main()
    except (HelloRefused, PoolTimeout, ledger.ForeignLedgerError) as error:
        sys.exit(str(error))

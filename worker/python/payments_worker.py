"""Captures the demo's payments: a worker for the queue `payments`, like worker/payments in TypeScript.

SKIPLEASE_ADDRESSES   coordinators, separated by commas; 127.0.0.1:7420 unless set
LEDGER_DATABASE_URL   the PostgreSQL database that holds the ledger
SKIPLEASE_WORKER_ID   a label; host:pid unless set
"""

import logging
import os
import socket
import sys

from psycopg_pool import ConnectionPool

from payments import ledger
from payments.capture import capture_lease
from skiplease import Worker

CONCURRENCY = 2
"""Leases at once: while one transaction commits the next is on its way."""
WINDOW_JOBS = 1000
"""Two leases of the usual size."""
CONNECT_SECONDS = 10


def main() -> None:
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(name)s: %(message)s')
    database_url = os.environ.get('LEDGER_DATABASE_URL')
    if not database_url:
        sys.exit('Set LEDGER_DATABASE_URL to the database of the ledger, such as postgresql://user@127.0.0.1/payments')
    addresses = os.environ.get('SKIPLEASE_ADDRESSES', '127.0.0.1:7420').split(',')
    worker_id = os.environ.get('SKIPLEASE_WORKER_ID', f'{socket.gethostname()}:{os.getpid()}')
    with ConnectionPool(database_url, min_size=1, max_size=CONCURRENCY, timeout=CONNECT_SECONDS) as pool:
        with pool.connection() as connection:
            ledger.prepare(connection)
        Worker(
            addresses=addresses,
            queues=['payments'],
            batch_handlers={'payment.capture': capture_lease(pool, worker_id)},
            concurrency=CONCURRENCY,
            window_jobs=WINDOW_JOBS,
            worker_id=worker_id,
        ).run()


if __name__ == '__main__':
    main()

"""What the tests on the real thing are given."""

import os

from pytest import fixture, skip


@fixture(scope='session')
def database_url() -> str:
    return _from_environment('SKIPLEASE_TEST_DATABASE_URL')


@fixture(scope='session')
def coordinator_address() -> str:
    return _from_environment('SKIPLEASE_TEST_ADDRESS')


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        skip(f'{name} is not set')
    return value

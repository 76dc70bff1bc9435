"""The demo's rules for a payload, on hand-made cases and on the whole example file."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pytest import mark, raises

from payments.capture import read_payment
from payments.intent import IntentError, parse_amount, payment_of
from skiplease import Job, PermanentError
from skiplease.v1 import worker_service_pb2 as pb

EXAMPLE_FILE = Path(__file__).parents[2] / 'payments' / 'intents.csv'
FIELDS = {
    'reference': 'pi_1',
    'merchant': 'Kyōto Knives',
    'iban': 'DE89370400440532013000',
    'currency': 'EUR',
    'amount': '12.50',
    'token': 'tok_visa',
}


@mark.parametrize(
    ('amount', 'currency', 'minor'),
    [('12.50', 'EUR', 1250), ('12.5', 'EUR', 1250), ('12800', 'JPY', 12800), ('0.005', 'KWD', 5), ('0.10', 'GBP', 10)],
)
def test_an_amount_is_a_whole_number_of_minor_units(amount: str, currency: str, minor: int) -> None:
    assert parse_amount(amount, currency) == minor


@mark.parametrize(
    ('amount', 'currency'),
    [('12.505', 'EUR'), ('1.0', 'JPY'), ('-1', 'EUR'), ('1e3', 'EUR'), ('', 'EUR'), ('0.00', 'EUR'), ('01', 'EUR')]
    + [('1', 'XXX'), ('1,000', 'EUR'), ('٣', 'JPY'), ('1234567890123456', 'JPY'), ('1\n', 'JPY')],
)
def test_anything_else_is_refused(amount: str, currency: str) -> None:
    with raises(IntentError):
        parse_amount(amount, currency)


def test_a_payment_typed_by_hand_needs_no_run_copy_or_line() -> None:
    payment = payment_of(FIELDS)
    assert (payment.run, payment.copy, payment.line, payment.amount_minor) == ('by-hand', 1, 0, 1250)


@mark.parametrize(
    'change',
    [{'reference': ''}, {'reference': 'x' * 101}, {'merchant': 7}, {'token': None}, {'iban': 'DE\0'}, {'run': '\ufffd'}]
    + [{'merchant': '\ud800'}, {'copy': 1.5}, {'copy': True}, {'line': '2'}, {'line': 2**60}, {'copy': float('inf')}],
)
def test_a_bad_field_is_refused(change: dict[str, Any]) -> None:
    with raises(IntentError):
        payment_of({**FIELDS, **change})


@mark.parametrize('payload', [b'', b'[]', b'null', b'{', b'\xff\xfe{}', b'{"reference":"pi_1"}', b'{"copy":NaN}'])
def test_a_bad_payload_is_a_permanent_failure(payload: bytes) -> None:
    job = Job(pb.LeasedJob(id='a', payload=payload), 'payments', '1.a', lambda _: None)
    with raises(PermanentError) as raised:
        read_payment(job)
    assert raised.value.code == 'BAD_INTENT'


def test_payments_are_ordered_as_javascript_orders_them() -> None:
    references = ['a', 'é', '\ue000', '\U0001f600', '"']
    keys = [payment_of({**FIELDS, 'reference': reference}).ledger_key for reference in references]
    ordered = [reference for _, reference in sorted(zip(keys, references, strict=True))]
    # As JavaScript sorts their JSON.stringify([run, copy, reference]).
    assert ordered == ['"', 'a', 'é', '\U0001f600', '\ue000']


def test_every_row_of_the_example_file_is_a_payment_and_a_few_ibans_are_wrong() -> None:
    codes: Counter[str] = Counter()
    with EXAMPLE_FILE.open(encoding='utf-8', newline='') as file:
        for row in csv.DictReader(file):
            job = Job(pb.LeasedJob(id='a', payload=json.dumps(row).encode()), 'payments', '1.a', lambda _: None)
            try:
                read_payment(job)
                codes['good'] += 1
            except PermanentError as error:
                codes[error.code] += 1
    assert codes.keys() == {'good', 'INVALID_IBAN'}
    assert codes.total() == 10_000 and 0 < codes['INVALID_IBAN'] < 100

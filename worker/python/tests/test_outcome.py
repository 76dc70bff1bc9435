"""What is reported for each thing that a handler may do."""

from google.protobuf.duration_pb2 import Duration
from pytest import mark

from skiplease import JobStopped, PermanentError, RetryAfter, Snooze, outcome


def test_a_result_is_json_unless_it_is_bytes() -> None:
    json = outcome.succeeded('a', {'name': 'Łódź', 'n': 2**60}).succeeded.result
    assert json.data == '{"name":"Łódź","n":1152921504606846976}'.encode()
    assert json.content_type == 'application/json'
    data = outcome.succeeded('a', b'\x00\xff').succeeded.result
    assert (data.data, data.content_type) == (b'\x00\xff', 'application/octet-stream')


def test_none_is_no_result_but_other_empty_values_are() -> None:
    assert not outcome.succeeded('a', None).succeeded.HasField('result')
    assert outcome.succeeded('a', {}).succeeded.result.data == b'{}'
    assert outcome.succeeded('a', 0).succeeded.result.data == b'0'


@mark.parametrize('value', [float('nan'), object(), {1, 2}])
def test_a_result_that_json_cannot_say_must_not_be_made_again(value: object) -> None:
    failed = outcome.succeeded('a', value).failed
    assert (failed.permanent, failed.error.code) == (True, 'RESULT_NOT_JSON')


def test_a_permanent_error_carries_its_code() -> None:
    failed = outcome.from_exception('a', PermanentError('CARD_DECLINED', 'insufficient funds')).failed
    assert (failed.permanent, failed.error.code, failed.error.message) == (True, 'CARD_DECLINED', 'insufficient funds')
    assert not failed.HasField('retry_delay')


def test_retry_after_and_snooze_carry_their_delay() -> None:
    failed = outcome.from_exception('a', RetryAfter(1.5, 'TIMEOUT')).failed
    assert (failed.permanent, failed.error.code) == (False, 'TIMEOUT')
    assert failed.retry_delay == Duration(seconds=1, nanos=500_000_000)
    assert outcome.from_exception('a', Snooze(60)).snoozed.delay == Duration(seconds=60)


def test_any_other_exception_is_a_failed_attempt_with_its_trace() -> None:
    try:
        _ = 1 // 0
    except ZeroDivisionError as error:
        failed = outcome.from_exception('a', error).failed
    assert failed.error.code == 'ZERO_DIVISION_ERROR'
    assert 'test_outcome.py' in failed.error.details
    assert not failed.permanent


@mark.parametrize('error', [JobStopped('STOPPING'), KeyError('consequence')])
def test_stopped_work_is_handed_back_unless_it_took_too_long(error: Exception) -> None:
    assert outcome.from_exception('a', error, 'STOPPING').WhichOneof('outcome') == 'released'
    assert outcome.from_exception('a', KeyError('consequence'), 'TIMEOUT').failed.error.code == 'TIMEOUT'
    assert outcome.from_exception('a', PermanentError('NO'), 'STOPPING').failed.permanent


def test_a_refused_report_is_followed_by_humbler_ones_and_then_by_none() -> None:
    second = outcome.after_refusal(outcome.succeeded('a'), 'too large')
    assert second is not None and second.failed.permanent and second.failed.error.message == 'too large'
    third = outcome.after_refusal(second, 'still refused')
    assert third is not None and third.released.delay.seconds == outcome.REFUSED_DELAY_SECONDS
    assert outcome.after_refusal(third, 'again') is None


def test_texts_are_made_such_that_they_can_be_kept() -> None:
    assert outcome.failed('a', 'NO', 'a\0b\ud800c').failed.error.message == 'a\ufffdb?c'
    error = outcome.failed('a', 'C' * 200, 'm' * 3000, 'd' * 9000).failed.error
    assert (len(error.code), len(error.message), len(error.details)) == (100, 2000, 8000)


@mark.parametrize(
    ('name', 'code'), [('ValueError', 'VALUE_ERROR'), ('HTTPStatusError', 'HTTP_STATUS_ERROR'), ('Oops', 'OOPS')]
)
def test_codes_are_upper_snake(name: str, code: str) -> None:
    assert outcome.upper_snake(name) == code

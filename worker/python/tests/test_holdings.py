"""The life of a hold, from lease to receipt, with everything that may come in between."""

import threading

from google.protobuf.duration_pb2 import Duration
from pytest import MonkeyPatch, fixture

from skiplease import outcome
from skiplease.holdings import NO_HANDLER_DELAY_SECONDS, Holdings
from skiplease.outbox import Outbox
from skiplease.v1 import worker_service_pb2 as pb

from .leases import FOR_EVER, LIMITS, lease_of, receipt_of

STREAM = object()


@fixture
def outbox() -> Outbox:
    outbox = Outbox()
    outbox.attach(STREAM, LIMITS)
    return outbox


@fixture
def holdings(outbox: Outbox) -> Holdings:
    holdings = Holdings(outbox, types={'send'}, batch_types={'capture'})
    holdings.extend(FOR_EVER)
    return holdings


def said(outbox: Outbox) -> list[tuple[str, str]]:
    """Takes everything that waits to be reported: which job, which outcome."""
    reported = []
    while message := outbox.take(STREAM, 0):
        reported += [(each.job_id, str(each.WhichOneof('outcome'))) for each in message.report.outcomes]
    return reported


def test_a_job_is_held_until_its_receipt(holdings: Holdings, outbox: Outbox) -> None:
    holdings.add(lease_of('1.a', 'a', 'b'))
    assert [job.id for job in holdings.take()] == ['a']
    holdings.finish([outcome.succeeded('a')], '1.a')
    assert said(outbox) == [('a', 'succeeded')]
    assert holdings.tokens() == ['1.a']
    holdings.settle(receipt_of('1.a', pb.RECEIPT_STATUS_ACCEPTED, 'a'))
    assert holdings.tokens() == ['1.a']
    holdings.finish([outcome.succeeded(job.id) for job in holdings.take()], '1.a')
    holdings.settle(receipt_of('1.a', pb.RECEIPT_STATUS_DUPLICATE, 'b'))
    assert holdings.tokens() == []


def test_a_batch_is_all_jobs_of_its_type_in_one_lease(holdings: Holdings) -> None:
    lease = lease_of('1.a', 'a', 'b', job_type='capture')
    lease.jobs.extend(lease_of('1.a', 'c').jobs)
    holdings.add(lease)
    assert [job.id for job in holdings.take()] == ['c']
    assert [job.id for job in holdings.take()] == ['a', 'b']


def test_a_type_without_handler_goes_back_with_a_delay(holdings: Holdings, outbox: Outbox) -> None:
    holdings.add(lease_of('1.a', 'a', job_type='unheard-of'))
    message = outbox.take(STREAM, 0)
    assert message is not None
    assert message.report.outcomes[0].released.delay.seconds == NO_HANDLER_DELAY_SECONDS


def test_nothing_is_started_past_the_validity(outbox: Outbox) -> None:
    holdings = Holdings(outbox, types={'send'}, batch_types=())
    holdings.add(lease_of('1.a', 'a'))
    taken: list[str] = []
    handler = threading.Thread(target=lambda: taken.extend(job.id for job in holdings.take()))
    handler.start()
    handler.join(0.05)
    assert handler.is_alive() and taken == []
    holdings.extend(FOR_EVER)
    handler.join(10)
    assert taken == ['a']


def test_a_cancelled_job_is_handed_back_at_once_when_it_waits_and_when_it_comes_out_when_it_runs(
    holdings: Holdings, outbox: Outbox
) -> None:
    holdings.add(lease_of('1.a', 'a', 'b', 'c'))
    [running] = holdings.take()
    holdings.stop(pb.Cancel(token='1.a', job_ids=['a', 'b'], reason=pb.CANCEL_REASON_JOB_CANCELLED))
    assert said(outbox) == [('b', 'released')]
    assert running.stop_reason == 'CANCELLED'
    assert [job.id for job in holdings.take()] == ['c']


def test_a_resume_stops_what_is_lost_and_says_again_what_has_no_receipt(holdings: Holdings, outbox: Outbox) -> None:
    holdings.add(lease_of('1.a', 'a', 'b'))
    holdings.add(lease_of('2.b', 'c', 'd'))
    _, [b], [c] = holdings.take(), holdings.take(), holdings.take()
    holdings.finish([outcome.succeeded('a')], '1.a')
    assert said(outbox) == [('a', 'succeeded')]
    c.progress(50)
    assert outbox.take(STREAM, 0) is not None
    welcome = pb.Welcome(limits=LIMITS, resumed=[pb.HeldLease(token='1.a', job_ids=['a', 'b'])], lost_tokens=['2.b'])
    holdings.resume(welcome)
    progress = outbox.take(STREAM, 0)
    assert progress is not None and progress.progress.job_id == 'c'
    assert sorted(said(outbox)) == [('a', 'succeeded'), ('d', 'released')]
    assert (b.stopped, c.stop_reason) == (False, 'LEASE_LOST')
    holdings.settle(receipt_of('2.b', pb.RECEIPT_STATUS_LEASE_LOST, 'c', 'd'))
    assert holdings.tokens() == ['1.a']


def test_a_job_that_the_resumed_lease_does_not_name_needs_no_more_work(holdings: Holdings) -> None:
    holdings.add(lease_of('1.a', 'a', 'b'))
    [a], [b] = holdings.take(), holdings.take()
    holdings.resume(pb.Welcome(limits=LIMITS, resumed=[pb.HeldLease(token='1.a', job_ids=['b'])]))
    assert (a.stopped, b.stopped) == (True, False)


def test_a_refused_report_is_made_again_differently(holdings: Holdings, outbox: Outbox) -> None:
    holdings.add(lease_of('1.a', 'a'))
    holdings.take()
    holdings.finish([outcome.succeeded('a')], '1.a')
    for expected in ('succeeded', 'failed', 'released'):
        assert said(outbox) == [('a', expected)]
        assert holdings.tokens() == ['1.a']
        holdings.settle(receipt_of('1.a', pb.RECEIPT_STATUS_INVALID, 'a', message='no'))
    assert holdings.tokens() == []


def test_a_result_that_fits_no_message_fails_the_attempt(holdings: Holdings, outbox: Outbox) -> None:
    holdings.resume(pb.Welcome(limits=LIMITS))
    holdings.add(lease_of('1.a', 'a'))
    holdings.take()
    holdings.finish([outcome.succeeded('a', bytes(3 * 1024 * 1024))], '1.a')
    message = outbox.take(STREAM, 0)
    assert message is not None and message.report.outcomes[0].failed.error.code == 'RESULT_TOO_LARGE'


def test_an_attempt_past_its_timeout_fails_and_what_it_says_later_is_ignored(
    holdings: Holdings, outbox: Outbox, monkeypatch: MonkeyPatch
) -> None:
    lease = lease_of('1.a', 'a', 'b')
    lease.jobs[0].timeout.CopyFrom(Duration(nanos=1))
    holdings.add(lease)
    [a], [b] = holdings.take(), holdings.take()
    holdings.give_up_overdue()
    assert said(outbox) == []
    monkeypatch.setattr('skiplease.holdings.TIMEOUT_GRACE_SECONDS', 0)
    holdings.give_up_overdue()
    assert (a.stop_reason, b.stop_reason) == ('TIMEOUT', '')
    holdings.finish([outcome.succeeded('a')], '1.a')
    assert said(outbox) == [('a', 'failed')]


def test_draining_hands_back_what_waits_and_lets_the_running_finish(holdings: Holdings, outbox: Outbox) -> None:
    holdings.add(lease_of('1.a', 'a', 'b'))
    holdings.take()
    holdings.drain()
    holdings.add(lease_of('2.b', 'c'))
    assert said(outbox) == [('b', 'released'), ('c', 'released')]
    assert holdings.take() == []
    holdings.finish([outcome.succeeded('a')], '1.a')
    assert said(outbox) == [('a', 'succeeded')]


def test_what_still_runs_at_the_deadline_is_handed_back(holdings: Holdings, outbox: Outbox) -> None:
    holdings.add(lease_of('1.a', 'a'))
    [a] = holdings.take()
    holdings.drain()
    holdings.abandon()
    assert a.stop_reason == 'STOPPING'
    assert said(outbox) == [('a', 'released')]

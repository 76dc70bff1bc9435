"""What is written next, by which stream."""

import threading
from queue import SimpleQueue

from skiplease import outcome
from skiplease.outbox import Outbox
from skiplease.v1 import worker_service_pb2 as pb

from .leases import LIMITS

STREAM, OTHER = object(), object()


def attached(limits: pb.Limits = LIMITS) -> Outbox:
    outbox = Outbox()
    outbox.attach(STREAM, limits)
    return outbox


def report_sizes(outbox: Outbox) -> list[int]:
    sizes = []
    while message := outbox.take(STREAM, 0):
        sizes.append(len(message.report.outcomes))
    return sizes


def test_outcomes_that_came_together_go_as_one_report_for_each_lease() -> None:
    outbox = attached()
    for number in range(300):
        outbox.put_outcome(f'{number % 2}.token', outcome.succeeded(str(number)))
    assert report_sizes(outbox) == [150, 150]


def test_a_report_keeps_to_the_limits_of_count_and_bytes() -> None:
    outbox = attached(pb.Limits(receive_bytes_max=1_000_000, report_outcomes_max=40))
    for number in range(100):
        outbox.put_outcome('1.a', outcome.succeeded(str(number)))
    assert report_sizes(outbox) == [40, 40, 20]
    for number in range(5):
        outbox.put_outcome('1.a', outcome.succeeded(str(number), bytes(240_000)))
    assert report_sizes(outbox) == [2, 2, 1]


def test_one_outcome_goes_even_when_it_alone_is_above_the_limit() -> None:
    outbox = attached(pb.Limits(receive_bytes_max=100, report_outcomes_max=1))
    outbox.put_outcome('1.a', outcome.succeeded('a', bytes(200)))
    assert report_sizes(outbox) == [1]


def test_the_window_goes_first_and_progress_before_the_outcome() -> None:
    outbox = attached()
    outbox.put_outcome('1.a', outcome.succeeded('a'))
    outbox.put_progress(pb.Progress(token='1.a', job_id='a', percent=10))
    outbox.put_progress(pb.Progress(token='1.a', job_id='a', percent=20))
    outbox.put_window(pb.Window(jobs=0))
    taken = [outbox.take(STREAM, 0) for _ in range(4)]
    assert [message and message.WhichOneof('message') for message in taken] == ['window', 'progress', 'report', None]
    assert taken[1] is not None and taken[1].progress.percent == 20


def test_only_the_stream_that_owns_it_takes() -> None:
    outbox = attached()
    outbox.put_outcome('1.a', outcome.succeeded('a'))
    assert outbox.take(OTHER, 10) is None
    outbox.detach(OTHER)
    assert outbox.take(STREAM, 0) is not None


def test_whoever_waits_is_woken_by_something_to_say_and_by_the_end() -> None:
    outbox = attached()
    taken: SimpleQueue[pb.LeaseRequest | None] = SimpleQueue()

    def take_twice() -> None:
        taken.put(outbox.take(STREAM, 60))
        taken.put(outbox.take(STREAM, 60))

    threading.Thread(target=take_twice, daemon=True).start()
    outbox.put_outcome('1.a', outcome.succeeded('a'))
    assert taken.get(timeout=10) is not None
    outbox.detach(STREAM)
    assert taken.get(timeout=10) is None

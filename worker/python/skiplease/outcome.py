"""From what a handler did to what is reported of its job."""

import re
import traceback
from typing import Any

from google.protobuf import duration_pb2

from . import payload
from .errors import JobStopped, PermanentError, RetryAfter, Snooze
from .v1 import job_pb2
from .v1 import worker_service_pb2 as pb

REFUSED_DELAY_SECONDS = 60
"""How long a job rests whose every report was refused: long enough for somebody to look."""


def succeeded(job_id: str, value: Any = None) -> pb.JobOutcome:
    """None is no result. TypeError or ValueError for a value that JSON cannot say."""
    result = None if value is None else payload.encode(value)
    return pb.JobOutcome(job_id=job_id, succeeded=pb.Succeeded(result=result))


def failed(job_id: str, code: str, message: str, details: str = '', permanent: bool = False) -> pb.JobOutcome:
    error = job_pb2.JobError(code=code[:100], message=message[:2000], details=details[-8000:])
    return pb.JobOutcome(job_id=job_id, failed=pb.Failed(error=error, permanent=permanent))


def released(job_id: str, delay_seconds: float = 0) -> pb.JobOutcome:
    return pb.JobOutcome(job_id=job_id, released=pb.Released(delay=_duration(delay_seconds) if delay_seconds else None))


def from_exception(job_id: str, error: BaseException) -> pb.JobOutcome:
    """What an exception means for the job whose handler raised it."""
    match error:
        case Snooze():
            return pb.JobOutcome(job_id=job_id, snoozed=pb.Snoozed(delay=_duration(error.delay_seconds)))
        case JobStopped(reason='TIMEOUT'):
            return timed_out(job_id)
        case JobStopped():
            return released(job_id)
        case PermanentError():
            return failed(job_id, error.code, str(error), permanent=True)
        case RetryAfter():
            outcome = failed(job_id, error.code, str(error))
            outcome.failed.retry_delay.CopyFrom(_duration(error.delay_seconds))
            return outcome
        case _:
            details = ''.join(traceback.format_exception(error))
            return failed(job_id, upper_snake(type(error).__name__), str(error), details)


def timed_out(job_id: str) -> pb.JobOutcome:
    return failed(job_id, 'TIMEOUT', 'the attempt took longer than the job allows')


def after_refusal(refused: pb.JobOutcome, reason: str) -> pb.JobOutcome | None:
    """What to say next of a job whose report came back INVALID, so that it does not stay leased for ever: a success or
    snooze becomes a failed attempt, a failed attempt is handed back, and after that there is nothing left to say."""
    match refused.WhichOneof('outcome'):
        case 'succeeded' | 'snoozed':
            return failed(refused.job_id, 'REPORT_REFUSED', reason)
        case 'failed':
            return released(refused.job_id, REFUSED_DELAY_SECONDS)
        case _:
            return None


def upper_snake(name: str) -> str:
    """ZeroDivisionError to ZERO_DIVISION_ERROR, the form of every error code."""
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).upper()


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration

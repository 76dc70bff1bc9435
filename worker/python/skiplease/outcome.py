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
    """None is no result."""
    try:
        result = None if value is None else payload.encode(value)
    except (TypeError, ValueError) as error:
        # The work is done and must not be done again; only what it returned cannot be kept.
        return failed(job_id, 'RESULT_NOT_JSON', str(error), permanent=True)
    return pb.JobOutcome(job_id=job_id, succeeded=pb.Succeeded(result=result))


def failed(job_id: str, code: str, message: str, details: str = '', permanent: bool = False) -> pb.JobOutcome:
    error = job_pb2.JobError(code=_kept(code[:100]), message=_kept(message[:2000]), details=_kept(details[-8000:]))
    return pb.JobOutcome(job_id=job_id, failed=pb.Failed(error=error, permanent=permanent))


def released(job_id: str, delay_seconds: float = 0) -> pb.JobOutcome:
    return pb.JobOutcome(job_id=job_id, released=pb.Released(delay=_duration(delay_seconds) if delay_seconds else None))


def from_exception(job_id: str, error: BaseException, stop_reason: str = '') -> pb.JobOutcome:
    """What an exception means for the job whose handler raised it. The typed ones mean what they say; any other that
    comes out after the job was stopped is taken for a consequence of that."""
    details = ''.join(traceback.format_exception(error))
    if isinstance(error, JobStopped):
        stop_reason = error.reason
    match error:
        case Snooze():
            return pb.JobOutcome(job_id=job_id, snoozed=pb.Snoozed(delay=_duration(error.delay_seconds)))
        case PermanentError():
            return failed(job_id, error.code, str(error), permanent=True)
        case RetryAfter():
            outcome = failed(job_id, error.code, str(error))
            outcome.failed.retry_delay.CopyFrom(_duration(error.delay_seconds))
            return outcome
        case _ if stop_reason == 'TIMEOUT':
            return timed_out(job_id, details)
        case _ if stop_reason:
            return released(job_id)
        case _:
            return failed(job_id, upper_snake(type(error).__name__), str(error), details)


def timed_out(job_id: str, details: str = '') -> pb.JobOutcome:
    return failed(job_id, 'TIMEOUT', 'the attempt took longer than its timeout', details)


def after_refusal(refused: pb.JobOutcome, reason: str) -> pb.JobOutcome | None:
    """What to say next of a job whose report came back INVALID, so that it does not stay leased for ever. A success
    cannot be recorded but must not run again: it ends FAILED. A failed attempt is handed back. After that there is
    nothing left to say."""
    match refused.WhichOneof('outcome'):
        case 'succeeded':
            return failed(refused.job_id, 'REPORT_INVALID', reason, permanent=True)
        case 'failed' | 'snoozed':
            return released(refused.job_id, REFUSED_DELAY_SECONDS)
        case _:
            return None


def upper_snake(name: str) -> str:
    """ZeroDivisionError to ZERO_DIVISION_ERROR, the form of every error code."""
    return re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).upper()


def _kept(text: str) -> str:
    """As PostgreSQL and protobuf can hold it: no NUL, no half of a surrogate pair."""
    return text.replace('\0', '\ufffd').encode(errors='replace').decode()


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration

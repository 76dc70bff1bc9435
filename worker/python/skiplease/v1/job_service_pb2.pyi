import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from skiplease.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CancelOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANCEL_OUTCOME_UNSPECIFIED: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_CANCELLED: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_ALREADY_FINAL: _ClassVar[CancelOutcome]
    CANCEL_OUTCOME_NOT_FOUND: _ClassVar[CancelOutcome]

class RetryOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRY_OUTCOME_UNSPECIFIED: _ClassVar[RetryOutcome]
    RETRY_OUTCOME_RETRIED: _ClassVar[RetryOutcome]
    RETRY_OUTCOME_ALREADY_RETRIED: _ClassVar[RetryOutcome]
    RETRY_OUTCOME_NOT_FAILED: _ClassVar[RetryOutcome]
    RETRY_OUTCOME_NOT_FOUND: _ClassVar[RetryOutcome]
CANCEL_OUTCOME_UNSPECIFIED: CancelOutcome
CANCEL_OUTCOME_CANCELLED: CancelOutcome
CANCEL_OUTCOME_ALREADY_FINAL: CancelOutcome
CANCEL_OUTCOME_NOT_FOUND: CancelOutcome
RETRY_OUTCOME_UNSPECIFIED: RetryOutcome
RETRY_OUTCOME_RETRIED: RetryOutcome
RETRY_OUTCOME_ALREADY_RETRIED: RetryOutcome
RETRY_OUTCOME_NOT_FAILED: RetryOutcome
RETRY_OUTCOME_NOT_FOUND: RetryOutcome

class SubmitJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.JobSpec
    def __init__(self, job: _Optional[_Union[_job_pb2.JobSpec, _Mapping]] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job_id", "existing")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    existing: bool
    def __init__(self, job_id: _Optional[str] = ..., existing: _Optional[bool] = ...) -> None: ...

class SubmitJobsRequest(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.JobSpec]
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.JobSpec, _Mapping]]] = ...) -> None: ...

class SubmitJobsResponse(_message.Message):
    __slots__ = ("job_ids", "existing_job_ids")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    EXISTING_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    existing_job_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., existing_job_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StreamSubmitJobsRequest(_message.Message):
    __slots__ = ("chunk", "jobs")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    chunk: int
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.JobSpec]
    def __init__(self, chunk: _Optional[int] = ..., jobs: _Optional[_Iterable[_Union[_job_pb2.JobSpec, _Mapping]]] = ...) -> None: ...

class StreamSubmitJobsResponse(_message.Message):
    __slots__ = ("chunk", "job_ids", "existing_job_ids", "error")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    EXISTING_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    chunk: int
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    existing_job_ids: _containers.RepeatedScalarFieldContainer[str]
    error: _status_pb2.Status
    def __init__(self, chunk: _Optional[int] = ..., job_ids: _Optional[_Iterable[str]] = ..., existing_job_ids: _Optional[_Iterable[str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("queue", "type", "state", "created_from", "created_before", "page_size", "page_token", "error_code", "batch_id")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FROM_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    state: _job_pb2.JobState
    created_from: _timestamp_pb2.Timestamp
    created_before: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    error_code: str
    batch_id: str
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[_Union[_job_pb2.JobState, str]] = ..., created_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., error_code: _Optional[str] = ..., batch_id: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class CancelJobsRequest(_message.Message):
    __slots__ = ("job_ids", "reason", "filter")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    filter: JobFilter
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., filter: _Optional[_Union[JobFilter, _Mapping]] = ...) -> None: ...

class JobFilter(_message.Message):
    __slots__ = ("queue", "type", "batch_id", "created_from", "created_before", "error_code")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_FROM_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    batch_id: str
    created_from: _timestamp_pb2.Timestamp
    created_before: _timestamp_pb2.Timestamp
    error_code: str
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ..., batch_id: _Optional[str] = ..., created_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error_code: _Optional[str] = ...) -> None: ...

class CancelJobsResponse(_message.Message):
    __slots__ = ("results", "jobs_cancelled")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    JOBS_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CancelJobResult]
    jobs_cancelled: int
    def __init__(self, results: _Optional[_Iterable[_Union[CancelJobResult, _Mapping]]] = ..., jobs_cancelled: _Optional[int] = ...) -> None: ...

class CancelJobResult(_message.Message):
    __slots__ = ("job_id", "outcome")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    outcome: CancelOutcome
    def __init__(self, job_id: _Optional[str] = ..., outcome: _Optional[_Union[CancelOutcome, str]] = ...) -> None: ...

class RetryJobsRequest(_message.Message):
    __slots__ = ("job_ids", "filter", "jobs_max", "jobs_per_second", "max_attempts")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    JOBS_MAX_FIELD_NUMBER: _ClassVar[int]
    JOBS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: JobFilter
    jobs_max: int
    jobs_per_second: float
    max_attempts: int
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[JobFilter, _Mapping]] = ..., jobs_max: _Optional[int] = ..., jobs_per_second: _Optional[float] = ..., max_attempts: _Optional[int] = ...) -> None: ...

class RetryJobsResponse(_message.Message):
    __slots__ = ("results", "jobs_retried")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    JOBS_RETRIED_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RetryJobResult]
    jobs_retried: int
    def __init__(self, results: _Optional[_Iterable[_Union[RetryJobResult, _Mapping]]] = ..., jobs_retried: _Optional[int] = ...) -> None: ...

class RetryJobResult(_message.Message):
    __slots__ = ("job_id", "outcome", "retried_as_job_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RETRIED_AS_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    outcome: RetryOutcome
    retried_as_job_id: str
    def __init__(self, job_id: _Optional[str] = ..., outcome: _Optional[_Union[RetryOutcome, str]] = ..., retried_as_job_id: _Optional[str] = ...) -> None: ...

import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from skiplease.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReceiptStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECEIPT_STATUS_UNSPECIFIED: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_ACCEPTED: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_DUPLICATE: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_LEASE_LOST: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_CANCELLED: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_INVALID: _ClassVar[ReceiptStatus]

class CancelReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANCEL_REASON_UNSPECIFIED: _ClassVar[CancelReason]
    CANCEL_REASON_JOB_CANCELLED: _ClassVar[CancelReason]
    CANCEL_REASON_LEASE_LOST: _ClassVar[CancelReason]
    CANCEL_REASON_TIMED_OUT: _ClassVar[CancelReason]
RECEIPT_STATUS_UNSPECIFIED: ReceiptStatus
RECEIPT_STATUS_ACCEPTED: ReceiptStatus
RECEIPT_STATUS_DUPLICATE: ReceiptStatus
RECEIPT_STATUS_LEASE_LOST: ReceiptStatus
RECEIPT_STATUS_CANCELLED: ReceiptStatus
RECEIPT_STATUS_INVALID: ReceiptStatus
CANCEL_REASON_UNSPECIFIED: CancelReason
CANCEL_REASON_JOB_CANCELLED: CancelReason
CANCEL_REASON_LEASE_LOST: CancelReason
CANCEL_REASON_TIMED_OUT: CancelReason

class LeaseRequest(_message.Message):
    __slots__ = ("hello", "window", "report", "heartbeat", "progress")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    window: Window
    report: Report
    heartbeat: Heartbeat
    progress: Progress
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ...) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("welcome", "lease", "receipt", "alive", "cancel", "drain")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    lease: Lease
    receipt: Receipt
    alive: Alive
    cancel: Cancel
    drain: Drain
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., alive: _Optional[_Union[Alive, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("worker_id", "instance_id", "queues", "window", "sdk", "sdk_version", "held_tokens", "receive_bytes_max")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    HELD_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    instance_id: str
    queues: _containers.RepeatedCompositeFieldContainer[QueueSubscription]
    window: Window
    sdk: str
    sdk_version: str
    held_tokens: _containers.RepeatedScalarFieldContainer[str]
    receive_bytes_max: int
    def __init__(self, worker_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., queues: _Optional[_Iterable[_Union[QueueSubscription, _Mapping]]] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., sdk: _Optional[str] = ..., sdk_version: _Optional[str] = ..., held_tokens: _Optional[_Iterable[str]] = ..., receive_bytes_max: _Optional[int] = ...) -> None: ...

class QueueSubscription(_message.Message):
    __slots__ = ("queue", "jobs_max")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    JOBS_MAX_FIELD_NUMBER: _ClassVar[int]
    queue: str
    jobs_max: int
    def __init__(self, queue: _Optional[str] = ..., jobs_max: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("jobs", "bytes", "queues")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    bytes: int
    queues: _containers.RepeatedCompositeFieldContainer[QueueSubscription]
    def __init__(self, jobs: _Optional[int] = ..., bytes: _Optional[int] = ..., queues: _Optional[_Iterable[_Union[QueueSubscription, _Mapping]]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("token", "outcomes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    token: str
    outcomes: _containers.RepeatedCompositeFieldContainer[JobOutcome]
    def __init__(self, token: _Optional[str] = ..., outcomes: _Optional[_Iterable[_Union[JobOutcome, _Mapping]]] = ...) -> None: ...

class JobOutcome(_message.Message):
    __slots__ = ("job_id", "succeeded", "failed", "released", "snoozed", "follow_ups")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    SNOOZED_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_UPS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    succeeded: Succeeded
    failed: Failed
    released: Released
    snoozed: Snoozed
    follow_ups: _containers.RepeatedCompositeFieldContainer[_job_pb2.JobSpec]
    def __init__(self, job_id: _Optional[str] = ..., succeeded: _Optional[_Union[Succeeded, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ..., snoozed: _Optional[_Union[Snoozed, _Mapping]] = ..., follow_ups: _Optional[_Iterable[_Union[_job_pb2.JobSpec, _Mapping]]] = ...) -> None: ...

class Succeeded(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _job_pb2.Payload
    def __init__(self, result: _Optional[_Union[_job_pb2.Payload, _Mapping]] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("error", "permanent", "retry_delay")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PERMANENT_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    error: _job_pb2.JobError
    permanent: bool
    retry_delay: _duration_pb2.Duration
    def __init__(self, error: _Optional[_Union[_job_pb2.JobError, _Mapping]] = ..., permanent: _Optional[bool] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("delay",)
    DELAY_FIELD_NUMBER: _ClassVar[int]
    delay: _duration_pb2.Duration
    def __init__(self, delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Snoozed(_message.Message):
    __slots__ = ("delay",)
    DELAY_FIELD_NUMBER: _ClassVar[int]
    delay: _duration_pb2.Duration
    def __init__(self, delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sequence", "received")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    received: int
    def __init__(self, sequence: _Optional[int] = ..., received: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("token", "job_id", "percent", "note", "checkpoint")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    token: str
    job_id: str
    percent: float
    note: str
    checkpoint: _job_pb2.Payload
    def __init__(self, token: _Optional[str] = ..., job_id: _Optional[str] = ..., percent: _Optional[float] = ..., note: _Optional[str] = ..., checkpoint: _Optional[_Union[_job_pb2.Payload, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "lease_ttl", "heartbeat_interval", "limits", "resumed", "lost_tokens")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    LOST_TOKENS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    lease_ttl: _duration_pb2.Duration
    heartbeat_interval: _duration_pb2.Duration
    limits: Limits
    resumed: _containers.RepeatedCompositeFieldContainer[HeldLease]
    lost_tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session_id: _Optional[str] = ..., lease_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., resumed: _Optional[_Iterable[_Union[HeldLease, _Mapping]]] = ..., lost_tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class HeldLease(_message.Message):
    __slots__ = ("token", "job_ids")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    token: str
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token: _Optional[str] = ..., job_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("receive_bytes_max", "payload_bytes_max", "result_bytes_max", "checkpoint_bytes_max", "report_outcomes_max")
    RECEIVE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    REPORT_OUTCOMES_MAX_FIELD_NUMBER: _ClassVar[int]
    receive_bytes_max: int
    payload_bytes_max: int
    result_bytes_max: int
    checkpoint_bytes_max: int
    report_outcomes_max: int
    def __init__(self, receive_bytes_max: _Optional[int] = ..., payload_bytes_max: _Optional[int] = ..., result_bytes_max: _Optional[int] = ..., checkpoint_bytes_max: _Optional[int] = ..., report_outcomes_max: _Optional[int] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("token", "number", "queue", "jobs")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    token: str
    number: int
    queue: str
    jobs: _containers.RepeatedCompositeFieldContainer[LeasedJob]
    def __init__(self, token: _Optional[str] = ..., number: _Optional[int] = ..., queue: _Optional[str] = ..., jobs: _Optional[_Iterable[_Union[LeasedJob, _Mapping]]] = ...) -> None: ...

class LeasedJob(_message.Message):
    __slots__ = ("id", "type", "payload", "content_type", "attempt", "max_attempts", "timeout", "headers", "checkpoint", "priority")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    payload: bytes
    content_type: str
    attempt: int
    max_attempts: int
    timeout: _duration_pb2.Duration
    headers: _containers.ScalarMap[str, str]
    checkpoint: bytes
    priority: int
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., payload: _Optional[bytes] = ..., content_type: _Optional[str] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ..., checkpoint: _Optional[bytes] = ..., priority: _Optional[int] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("token", "jobs")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    token: str
    jobs: _containers.RepeatedCompositeFieldContainer[JobReceipt]
    def __init__(self, token: _Optional[str] = ..., jobs: _Optional[_Iterable[_Union[JobReceipt, _Mapping]]] = ...) -> None: ...

class JobReceipt(_message.Message):
    __slots__ = ("job_id", "status", "message")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    status: ReceiptStatus
    message: str
    def __init__(self, job_id: _Optional[str] = ..., status: _Optional[_Union[ReceiptStatus, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Alive(_message.Message):
    __slots__ = ("sequence", "valid_for")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    VALID_FOR_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    valid_for: _duration_pb2.Duration
    def __init__(self, sequence: _Optional[int] = ..., valid_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("token", "job_ids", "reason", "message")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    token: str
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: CancelReason
    message: str
    def __init__(self, token: _Optional[str] = ..., job_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[_Union[CancelReason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("deadline",)
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    deadline: _duration_pb2.Duration
    def __init__(self, deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("queue", "page_size", "page_token")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queue: str
    page_size: int
    page_token: str
    def __init__(self, queue: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers", "next_page_token")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    next_page_token: str
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("worker_id", "instance_id", "session_id", "coordinator_id", "queues", "window_jobs", "leases", "jobs", "sdk", "sdk_version", "connect_time")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_JOBS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    instance_id: str
    session_id: str
    coordinator_id: str
    queues: _containers.RepeatedScalarFieldContainer[str]
    window_jobs: int
    leases: int
    jobs: int
    sdk: str
    sdk_version: str
    connect_time: _timestamp_pb2.Timestamp
    def __init__(self, worker_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., session_id: _Optional[str] = ..., coordinator_id: _Optional[str] = ..., queues: _Optional[_Iterable[str]] = ..., window_jobs: _Optional[int] = ..., leases: _Optional[int] = ..., jobs: _Optional[int] = ..., sdk: _Optional[str] = ..., sdk_version: _Optional[str] = ..., connect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListLeasesRequest(_message.Message):
    __slots__ = ("queue", "worker_id", "page_size", "page_token")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queue: str
    worker_id: str
    page_size: int
    page_token: str
    def __init__(self, queue: _Optional[str] = ..., worker_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLeasesResponse(_message.Message):
    __slots__ = ("leases", "next_page_token")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[LeaseInfo]
    next_page_token: str
    def __init__(self, leases: _Optional[_Iterable[_Union[LeaseInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class LeaseInfo(_message.Message):
    __slots__ = ("lease_id", "queue", "worker_id", "session_id", "coordinator_id", "job_ids", "jobs_settled", "grant_time")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    JOBS_SETTLED_FIELD_NUMBER: _ClassVar[int]
    GRANT_TIME_FIELD_NUMBER: _ClassVar[int]
    lease_id: int
    queue: str
    worker_id: str
    session_id: str
    coordinator_id: str
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    jobs_settled: int
    grant_time: _timestamp_pb2.Timestamp
    def __init__(self, lease_id: _Optional[int] = ..., queue: _Optional[str] = ..., worker_id: _Optional[str] = ..., session_id: _Optional[str] = ..., coordinator_id: _Optional[str] = ..., job_ids: _Optional[_Iterable[str]] = ..., jobs_settled: _Optional[int] = ..., grant_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

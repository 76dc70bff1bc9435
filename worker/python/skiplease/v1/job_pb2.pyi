import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_SCHEDULED: _ClassVar[JobState]
    JOB_STATE_READY: _ClassVar[JobState]
    JOB_STATE_LEASED: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
    JOB_STATE_BLOCKED: _ClassVar[JobState]

class UniqueScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIQUE_SCOPE_UNSPECIFIED: _ClassVar[UniqueScope]
    UNIQUE_SCOPE_QUEUE: _ClassVar[UniqueScope]
    UNIQUE_SCOPE_QUEUE_AND_TYPE: _ClassVar[UniqueScope]

class UniqueConflict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIQUE_CONFLICT_UNSPECIFIED: _ClassVar[UniqueConflict]
    UNIQUE_CONFLICT_RETURN_EXISTING: _ClassVar[UniqueConflict]
    UNIQUE_CONFLICT_REJECT: _ClassVar[UniqueConflict]
    UNIQUE_CONFLICT_REPLACE: _ClassVar[UniqueConflict]

class AfterPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AFTER_POLICY_UNSPECIFIED: _ClassVar[AfterPolicy]
    AFTER_POLICY_CANCEL: _ClassVar[AfterPolicy]
    AFTER_POLICY_RUN_ANYWAY: _ClassVar[AfterPolicy]

class BlockedReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOCKED_REASON_UNSPECIFIED: _ClassVar[BlockedReason]
    BLOCKED_REASON_DEPENDENCY: _ClassVar[BlockedReason]
    BLOCKED_REASON_SERIAL_KEY: _ClassVar[BlockedReason]
    BLOCKED_REASON_LIMIT_KEY: _ClassVar[BlockedReason]

class AttemptState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_STATE_UNSPECIFIED: _ClassVar[AttemptState]
    ATTEMPT_STATE_FAILED: _ClassVar[AttemptState]
    ATTEMPT_STATE_EXPIRED: _ClassVar[AttemptState]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_SCHEDULED: JobState
JOB_STATE_READY: JobState
JOB_STATE_LEASED: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_STATE_BLOCKED: JobState
UNIQUE_SCOPE_UNSPECIFIED: UniqueScope
UNIQUE_SCOPE_QUEUE: UniqueScope
UNIQUE_SCOPE_QUEUE_AND_TYPE: UniqueScope
UNIQUE_CONFLICT_UNSPECIFIED: UniqueConflict
UNIQUE_CONFLICT_RETURN_EXISTING: UniqueConflict
UNIQUE_CONFLICT_REJECT: UniqueConflict
UNIQUE_CONFLICT_REPLACE: UniqueConflict
AFTER_POLICY_UNSPECIFIED: AfterPolicy
AFTER_POLICY_CANCEL: AfterPolicy
AFTER_POLICY_RUN_ANYWAY: AfterPolicy
BLOCKED_REASON_UNSPECIFIED: BlockedReason
BLOCKED_REASON_DEPENDENCY: BlockedReason
BLOCKED_REASON_SERIAL_KEY: BlockedReason
BLOCKED_REASON_LIMIT_KEY: BlockedReason
ATTEMPT_STATE_UNSPECIFIED: AttemptState
ATTEMPT_STATE_FAILED: AttemptState
ATTEMPT_STATE_EXPIRED: AttemptState

class Payload(_message.Message):
    __slots__ = ("data", "json", "json_text", "content_type")
    DATA_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    JSON_TEXT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    json: _struct_pb2.Struct
    json_text: str
    content_type: str
    def __init__(self, data: _Optional[bytes] = ..., json: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., json_text: _Optional[str] = ..., content_type: _Optional[str] = ...) -> None: ...

class JobSpec(_message.Message):
    __slots__ = ("id", "queue", "type", "payload", "priority", "run_at", "delay", "max_attempts", "timeout", "headers", "start_by", "start_within", "retry_policy", "unique", "serial_key", "limit_key", "batch_id", "after_job_ids", "after_policy")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RUN_AT_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    START_BY_FIELD_NUMBER: _ClassVar[int]
    START_WITHIN_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_FIELD_NUMBER: _ClassVar[int]
    SERIAL_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_POLICY_FIELD_NUMBER: _ClassVar[int]
    id: str
    queue: str
    type: str
    payload: Payload
    priority: int
    run_at: _timestamp_pb2.Timestamp
    delay: _duration_pb2.Duration
    max_attempts: int
    timeout: _duration_pb2.Duration
    headers: _containers.ScalarMap[str, str]
    start_by: _timestamp_pb2.Timestamp
    start_within: _duration_pb2.Duration
    retry_policy: RetryPolicy
    unique: UniqueKey
    serial_key: str
    limit_key: str
    batch_id: str
    after_job_ids: _containers.RepeatedScalarFieldContainer[str]
    after_policy: AfterPolicy
    def __init__(self, id: _Optional[str] = ..., queue: _Optional[str] = ..., type: _Optional[str] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ..., priority: _Optional[int] = ..., run_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_attempts: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ..., start_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry_policy: _Optional[_Union[RetryPolicy, _Mapping]] = ..., unique: _Optional[_Union[UniqueKey, _Mapping]] = ..., serial_key: _Optional[str] = ..., limit_key: _Optional[str] = ..., batch_id: _Optional[str] = ..., after_job_ids: _Optional[_Iterable[str]] = ..., after_policy: _Optional[_Union[AfterPolicy, str]] = ...) -> None: ...

class RetryPolicy(_message.Message):
    __slots__ = ("max_attempts", "initial_backoff", "factor", "max_backoff", "jitter")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    initial_backoff: _duration_pb2.Duration
    factor: float
    max_backoff: _duration_pb2.Duration
    jitter: float
    def __init__(self, max_attempts: _Optional[int] = ..., initial_backoff: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., factor: _Optional[float] = ..., max_backoff: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., jitter: _Optional[float] = ...) -> None: ...

class UniqueKey(_message.Message):
    __slots__ = ("key", "scope", "lifetime", "on_conflict")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    key: str
    scope: UniqueScope
    lifetime: _duration_pb2.Duration
    on_conflict: UniqueConflict
    def __init__(self, key: _Optional[str] = ..., scope: _Optional[_Union[UniqueScope, str]] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., on_conflict: _Optional[_Union[UniqueConflict, str]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "queue", "type", "state", "payload", "priority", "attempt", "max_attempts", "create_time", "run_at", "finish_time", "result", "error", "attempts", "worker_id", "timeout", "headers", "progress", "origin_job_id", "retried_as_job_id", "start_by", "retry_policy", "unique", "serial_key", "limit_key", "batch_id", "after_job_ids", "after_policy", "blocked_reason", "schedule")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_AT_FIELD_NUMBER: _ClassVar[int]
    FINISH_TIME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RETRIED_AS_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    START_BY_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    UNIQUE_FIELD_NUMBER: _ClassVar[int]
    SERIAL_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEY_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_POLICY_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_REASON_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    id: str
    queue: str
    type: str
    state: JobState
    payload: Payload
    priority: int
    attempt: int
    max_attempts: int
    create_time: _timestamp_pb2.Timestamp
    run_at: _timestamp_pb2.Timestamp
    finish_time: _timestamp_pb2.Timestamp
    result: Payload
    error: JobError
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    worker_id: str
    timeout: _duration_pb2.Duration
    headers: _containers.ScalarMap[str, str]
    progress: JobProgress
    origin_job_id: str
    retried_as_job_id: str
    start_by: _timestamp_pb2.Timestamp
    retry_policy: RetryPolicy
    unique: UniqueKey
    serial_key: str
    limit_key: str
    batch_id: str
    after_job_ids: _containers.RepeatedScalarFieldContainer[str]
    after_policy: AfterPolicy
    blocked_reason: BlockedReason
    schedule: str
    def __init__(self, id: _Optional[str] = ..., queue: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., payload: _Optional[_Union[Payload, _Mapping]] = ..., priority: _Optional[int] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., result: _Optional[_Union[Payload, _Mapping]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., worker_id: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ..., progress: _Optional[_Union[JobProgress, _Mapping]] = ..., origin_job_id: _Optional[str] = ..., retried_as_job_id: _Optional[str] = ..., start_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retry_policy: _Optional[_Union[RetryPolicy, _Mapping]] = ..., unique: _Optional[_Union[UniqueKey, _Mapping]] = ..., serial_key: _Optional[str] = ..., limit_key: _Optional[str] = ..., batch_id: _Optional[str] = ..., after_job_ids: _Optional[_Iterable[str]] = ..., after_policy: _Optional[_Union[AfterPolicy, str]] = ..., blocked_reason: _Optional[_Union[BlockedReason, str]] = ..., schedule: _Optional[str] = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    details: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "state", "error", "worker_id", "start_time", "end_time")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    number: int
    state: AttemptState
    error: JobError
    worker_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., state: _Optional[_Union[AttemptState, str]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., worker_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class JobProgress(_message.Message):
    __slots__ = ("percent", "note", "update_time", "has_checkpoint")
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    HAS_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    percent: float
    note: str
    update_time: _timestamp_pb2.Timestamp
    has_checkpoint: bool
    def __init__(self, percent: _Optional[float] = ..., note: _Optional[str] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., has_checkpoint: _Optional[bool] = ...) -> None: ...

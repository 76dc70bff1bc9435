"""Python values to and from the protocol's payloads."""

import json
from typing import Any

from .v1 import job_pb2

JSON = 'application/json'


def encode(value: Any) -> job_pb2.Payload:
    """Bytes go as they are, everything else as JSON. TypeError for what JSON cannot say."""
    if isinstance(value, bytes):
        return job_pb2.Payload(data=value, content_type='application/octet-stream')
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(',', ':'))
    return job_pb2.Payload(data=text.encode(), content_type=JSON)

"""What a call carries besides its request: the workload, the person's token, and instants."""

from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta_common.errors import PlatformError, invalid
from lykta_common.identity import bearer_token, workload

from lykta_access_control.access import Call

Context = grpc.aio.ServicerContext[Any, Any]


def call_of(context: Context) -> Call:
    """Return who calls; a missing token is the empty string, so that the attempt is logged like any other."""
    try:
        return Call(workload(context), bearer_token(context))
    except PlatformError:
        return Call(workload(context), "")


def to_timestamp(instant: datetime | None) -> Timestamp | None:
    """Return an instant for a response; None stays unset."""
    if instant is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def from_timestamp(field: str, stamp: Timestamp) -> datetime:
    """Return an instant of a request in whole milliseconds; raises PlatformError INVALID_FIELD out of range."""
    try:
        instant = stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{field} is no instant") from error
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)

"""One error for the whole platform, and the one table from its code to a gRPC status and a delivery decision."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import grpc
from lykta.common.v1 import error_reason_pb2

REASON_METADATA: Final = "lykta-reason"


class Code(StrEnum):
    """Canonical codes (google.rpc.Code)."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    ABORTED = "ABORTED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    DATA_LOSS = "DATA_LOSS"
    INTERNAL = "INTERNAL"
    UNKNOWN = "UNKNOWN"


class Delivery(StrEnum):
    """What becomes of a message whose handler failed."""

    ACK = "ack"
    RETRY = "retry"
    DEAD_LETTER = "dead-letter"
    HALT = "halt"


@dataclass(frozen=True)
class Row:
    """One row of the table; `counted` failures are dead-lettered when the delivery limit is reached."""

    status: grpc.StatusCode
    delivery: Delivery
    http: int


MAPPING: Final[dict[Code, Row]] = {
    Code.INVALID_ARGUMENT: Row(grpc.StatusCode.INVALID_ARGUMENT, Delivery.DEAD_LETTER, 400),
    Code.FAILED_PRECONDITION: Row(grpc.StatusCode.FAILED_PRECONDITION, Delivery.DEAD_LETTER, 409),
    Code.UNAUTHENTICATED: Row(grpc.StatusCode.UNAUTHENTICATED, Delivery.DEAD_LETTER, 401),
    Code.PERMISSION_DENIED: Row(grpc.StatusCode.PERMISSION_DENIED, Delivery.DEAD_LETTER, 403),
    Code.NOT_FOUND: Row(grpc.StatusCode.NOT_FOUND, Delivery.DEAD_LETTER, 404),
    Code.UNIMPLEMENTED: Row(grpc.StatusCode.UNIMPLEMENTED, Delivery.DEAD_LETTER, 501),
    Code.ALREADY_EXISTS: Row(grpc.StatusCode.ALREADY_EXISTS, Delivery.ACK, 409),
    Code.RESOURCE_EXHAUSTED: Row(grpc.StatusCode.RESOURCE_EXHAUSTED, Delivery.RETRY, 429),
    Code.UNAVAILABLE: Row(grpc.StatusCode.UNAVAILABLE, Delivery.RETRY, 503),
    Code.DEADLINE_EXCEEDED: Row(grpc.StatusCode.DEADLINE_EXCEEDED, Delivery.RETRY, 504),
    Code.ABORTED: Row(grpc.StatusCode.ABORTED, Delivery.RETRY, 409),
    Code.DATA_LOSS: Row(grpc.StatusCode.DATA_LOSS, Delivery.HALT, 500),
    Code.INTERNAL: Row(grpc.StatusCode.INTERNAL, Delivery.RETRY, 500),
    Code.UNKNOWN: Row(grpc.StatusCode.UNKNOWN, Delivery.RETRY, 500),
}
_RETRYABLE = {Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.ABORTED}
_REASONS = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name}


class PlatformError(Exception):
    """What happened, for people, with a canonical code and a stable reason (an ErrorReason name without its prefix).

    `retryable` follows the code unless it is given. Raises ValueError for a reason that is not in the proto enum.
    """

    def __init__(self, code: Code, reason: str, message: str, retryable: bool | None = None) -> None:
        if reason not in _REASONS:
            raise ValueError(f"{reason!r} is not in lykta.common.v1.ErrorReason")
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retryable = code in _RETRYABLE if retryable is None else retryable

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"


class AnotherReplicaError(Exception):
    """A handler's answer to a message that another replica of its service is to have: no failure, never counted."""


def delivery_of(error: BaseException) -> Delivery:
    """Decide what becomes of the message whose handler raised this; an unknown error is retried and counted."""
    if isinstance(error, PlatformError):
        return MAPPING[error.code].delivery
    return Delivery.RETRY


def not_found(what: str) -> PlatformError:
    """There is no such thing, or it is another tenant's: the two look alike on purpose."""
    return PlatformError(Code.NOT_FOUND, "NOT_FOUND", f"{what} was not found")


def invalid(message: str) -> PlatformError:
    """A field of the request is missing, malformed or out of bounds."""
    return PlatformError(Code.INVALID_ARGUMENT, "INVALID_FIELD", message)


def unavailable(what: str) -> PlatformError:
    """A service or store that is needed does not answer; try again."""
    return PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", f"{what} does not answer; try again")


def from_rpc(error: grpc.aio.AioRpcError, peer: str) -> PlatformError:
    """Translate a peer's refusal or failure; the reason comes from its trailing metadata."""
    code = Code(error.code().name) if error.code().name in Code.__members__ else Code.UNKNOWN
    found = {str(k): v for k, v in (error.trailing_metadata() or ())}.get(REASON_METADATA, "")
    reason = found.decode() if isinstance(found, bytes) else str(found)
    if reason in _REASONS:
        return PlatformError(code, reason, error.details() or code)
    if code is Code.DEADLINE_EXCEEDED:
        return PlatformError(code, "DEADLINE", f"{peer} did not answer in time; try again")
    if code is Code.UNAVAILABLE:
        return unavailable(peer)
    return PlatformError(code, "INTERNAL", f"{peer}: {error.details() or code}")

"""The faults a recorder can meet: what happened, whose fault it is, and what a person should do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class CameraError(Exception):
    """A camera cannot be recorded right now.

    `code` is a canonical gRPC code name, `reason` a value of the proto enum `ErrorReason` without its prefix,
    `message` a sentence for a person that says what to do, and `cause` the `GapCause` value that explains the
    seconds lost. `retryable` says whether trying again without a person's help can succeed.
    Never holds credentials or a URL.
    """

    code: str
    reason: str
    message: str
    cause: str = "CAMERA"
    retryable: bool = True

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def unsupported(message: str) -> CameraError:
    """Return the fault for a stream we cannot record bit-exactly; only a change in the camera's settings helps."""
    return CameraError("UNIMPLEMENTED", "UNSUPPORTED_CODEC", message, retryable=False)


def malformed(message: str) -> CameraError:
    """Return the fault for an answer that breaks its protocol."""
    return CameraError("UNAVAILABLE", "CAMERA", message)


def unreachable(message: str) -> CameraError:
    """Return the fault for a camera that does not answer on the network."""
    return CameraError("UNAVAILABLE", "CAMERA", message, cause="NETWORK")

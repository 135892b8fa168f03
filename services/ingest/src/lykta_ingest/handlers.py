"""JetStream in: storage's confirmations free the spool."""

from __future__ import annotations

from lykta_common.errors import AnotherReplicaError, Code, PlatformError
from lykta_contracts.events import CloudEvent, SegmentStored
from lykta_contracts.model import Message

from lykta_ingest.domain import CameraRef, State, segment_key
from lykta_ingest.recorder import Recorder
from lykta_ingest.upload import Uploader


class StoredHandler:
    """Handles `segment.stored`; idempotent: a segment that is gone from the spool is acknowledged again."""

    def __init__(self, uploader: Uploader, recorder: Recorder) -> None:
        self._uploader = uploader
        self._recorder = recorder

    async def __call__(self, event: CloudEvent, data: Message) -> None:
        """Free the segment.

        Raises AnotherReplicaError when another recorder holds the camera and may be waiting for it.
        """
        if not isinstance(data, SegmentStored):
            raise PlatformError(Code.INVALID_ARGUMENT, "INVALID_FIELD", f"unexpected event {event.type}")
        if self._uploader.stored(segment_key(data.controller, data.segment_id)):
            return
        session = self._recorder.sessions.get(CameraRef(data.controller, data.camera))
        if session is not None and session.status.state is State.LEASED_ELSEWHERE:
            raise AnotherReplicaError("the segment is another recorder's")

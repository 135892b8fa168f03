"""Gives an hour's private key to a test tool, where that is allowed at all, and logs it first."""

import re

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError, not_found
from lykta_common.ids import new_id
from lykta_contracts.audit import Actor, AuditRecord
from lykta_contracts.ids import is_slug

from lykta_storage.audit_trail import AuditTrail
from lykta_storage.domain.footage import CameraHour
from lykta_storage.media_keys import MediaKeys
from lykta_storage.playback.admission import trace_id

_HOUR = re.compile(r"^\d{8}T\d{2}$")


class KeyExport:
    """The door for test tools."""

    def __init__(self, keys: MediaKeys, trail: AuditTrail, clock: Clock, allowed: bool) -> None:
        self._keys = keys
        self._trail = trail
        self._clock = clock
        self._allowed = allowed

    async def export(self, hour: CameraHour, workload: str) -> str:
        """Return `AGE-SECRET-KEY-1…`, with the audit entry durable first.

        Raises PlatformError PROHIBITED where it is not allowed, NOT_FOUND for a key that is destroyed or never was.
        """
        if not self._allowed:
            message = "keys are not exported here; see allow_key_export, which the production profile ignores"
            refusal = PlatformError(Code.PERMISSION_DENIED, "PROHIBITED", message)
            await self._trail.note(self._record(hour, workload, refusal))
            raise refusal
        known = is_slug(hour.controller) and is_slug(hour.camera) and _HOUR.match(hour.hour)
        identity = await self._keys.identity(hour) if known else None
        if identity is None:
            raise not_found(f"the key of {hour.camera!r} in hour {hour.hour!r}")
        await self._trail.must(self._record(hour, workload, None))
        return identity

    def _record(self, hour: CameraHour, workload: str, refusal: PlatformError | None) -> AuditRecord:
        return AuditRecord(
            entry_id=new_id("aud", self._clock),
            occurred_at=self._clock.now(),
            actor=Actor(kind="service", id=workload),
            controller=hour.controller,
            action="footage.key.exported",
            object=f"camera/{hour.camera}/{hour.hour}",
            result="denied" if refusal else "allowed",
            reason=refusal.reason if refusal else "",
            correlation_id=trace_id(),
        )

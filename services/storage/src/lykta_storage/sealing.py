"""Puts recorders' signed hour roots into the audit log, and proves fragments against them."""

import base64
import binascii
from dataclasses import dataclass

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.logging import get_logger
from lykta_common.signing import Verifier
from lykta_common.telemetry import Telemetry
from lykta_contracts.audit import Actor, AuditRecord
from lykta_contracts.instants import from_ms, hour_of, to_ms
from lykta_contracts.media import seal_statement

from lykta_storage.audit_trail import AuditTrail
from lykta_storage.domain.coverage import SETTLING_MS
from lykta_storage.domain.deletion import seal_entry_id
from lykta_storage.domain.footage import CameraHour, LeafSeal, SealedRoot
from lykta_storage.domain.hour_tree import HourTree
from lykta_storage.store.footage import FootageStore
from lykta_storage.store.seals import SealStore

log = get_logger(__name__)

ACTOR = Actor(kind="service", id="storage")


@dataclass(frozen=True)
class ProvenHour:
    """A root that is in the audit log, with the tree under it."""

    hour: CameraHour
    run: str
    root: SealedRoot
    tree: HourTree

    def proves(self, leaf: int) -> bool:
        """Say whether a leaf lies under the root."""
        return leaf < self.root.count

    @property
    def signature(self) -> bytes:
        """The recorder's Ed25519 signature."""
        return base64.b64decode(self.root.signature)


class Sealing:
    """Hour roots on their way into the audit log."""

    def __init__(
        self, footage: FootageStore, seals: SealStore, trail: AuditTrail, recorder: Verifier, clock: Clock
    ) -> None:
        self._footage = footage
        self._seals = seals
        self._trail = trail
        self._recorder = recorder
        self._clock = clock

    async def prove(self, hour: CameraHour, run: str, leaf: int) -> ProvenHour:
        """Return the newest logged root that covers a leaf; the newest seal is logged first when there is none.

        Raises PlatformError AUDIT_UNAVAILABLE when the log does not take it, INTEGRITY or BAD_SIGNATURE when the
        recorder's seal does not fit what is in the catalogue.
        """
        leaves = await self._footage.leaves(hour, run)
        root = await self._seals.newest(hour, run)
        if root is None or leaf >= root.count:
            root = await self._seal(hour, run, leaves)
        if root is None or not leaf < root.count <= len(leaves):
            message = f"no seal covers fragment {leaf} of {hour.camera} in hour {hour.hour}"
            raise PlatformError(Code.DATA_LOSS, "INTEGRITY", message)
        tree = HourTree(leaves[: root.count])
        if tree.root.hex() != root.root:
            raise _mismatch(hour)
        return ProvenHour(hour, run, root, tree)

    async def keep_running(self, telemetry: Telemetry, every_seconds: float) -> None:
        """Log the newest root of every hour that is over, round after round until cancelled."""
        while True:
            try:
                with telemetry.span("sealing round"):
                    await self.seal_ended_hours()
            except PlatformError as error:
                log.warning("sealing_waiting", reason=error.reason, error=error.message)
            await self._clock.sleep(every_seconds)

    async def seal_ended_hours(self) -> int:
        """Log the newest root of every hour that is over and settled; return how many. Again changes nothing."""
        current = hour_of(from_ms(to_ms(self._clock.now()) - SETTLING_MS))
        sealed = 0
        for hour, run in await self._footage.unsealed(current):
            try:
                if await self._seal(hour, run, await self._footage.leaves(hour, run)) is not None:
                    sealed += 1
            except PlatformError as error:
                if error.retryable:
                    raise
                log.error("hour_not_sealed", controller=hour.controller, camera=hour.camera, error=error.message)
        return sealed

    async def _seal(self, hour: CameraHour, run: str, leaves: list[bytes]) -> SealedRoot | None:
        """Log the largest seal whose leaves are all in the catalogue; None when there is none."""
        candidates = await self._footage.seals(hour, run, len(leaves))
        if not candidates:
            return None
        seal, known = candidates[0], await self._seals.newest(hour, run)
        if known is not None and known.count >= seal.count:
            return known
        self._check(hour, run, seal, leaves)
        receipt = await self._trail.must(_record(hour, run, seal))
        root = SealedRoot(seal.count, seal.root, seal.key_id, seal.signature, receipt.entry_id, receipt.index)
        await self._seals.add(hour, run, root)
        log.info("hour_sealed", controller=hour.controller, camera=hour.camera, hour=hour.hour, count=seal.count)
        return root

    def _check(self, hour: CameraHour, run: str, seal: LeafSeal, leaves: list[bytes]) -> None:
        try:
            signature = base64.b64decode(seal.signature, validate=True)
        except (ValueError, binascii.Error) as error:
            raise PlatformError(Code.DATA_LOSS, "BAD_SIGNATURE", "a seal's signature is not base64") from error
        statement = seal_statement(*hour, (run, seal.count, seal.root))
        try:
            self._recorder.verify_raw(seal.key_id, signature, statement)
        except PlatformError as error:
            message = f"the seal of {hour.camera} in hour {hour.hour}: {error.message}"
            raise PlatformError(Code.DATA_LOSS, "BAD_SIGNATURE", message) from error
        if HourTree(leaves[: seal.count]).root.hex() != seal.root:
            raise _mismatch(hour)


def _mismatch(hour: CameraHour) -> PlatformError:
    message = f"the fragments of {hour.camera} in hour {hour.hour} do not lead to the recorder's root"
    return PlatformError(Code.DATA_LOSS, "INTEGRITY", message)


def _record(hour: CameraHour, run: str, seal: LeafSeal) -> AuditRecord:
    # Nothing in it depends on when it is written, so that a repetition is the same entry.
    return AuditRecord(
        entry_id=seal_entry_id(hour, run, seal.count),
        occurred_at=from_ms(seal.to_ms),
        actor=ACTOR,
        controller=hour.controller,
        action="footage.hour.sealed",
        object=f"camera/{hour.camera}/{hour.hour}",
        result="done",
        details={
            "camera": hour.camera,
            "hour": hour.hour,
            "run": run,
            "count": str(seal.count),
            "root": seal.root,
            "key_id": seal.key_id,
            "signature": seal.signature,
        },
    )

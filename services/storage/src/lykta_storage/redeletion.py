"""Destroys again what was deleted after a backup was taken: the receipts in the audit log are newer than the backup."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lykta_common.errors import invalid
from lykta_common.logging import get_logger
from lykta_common.objectstore import ObjectStore
from lykta_contracts.audit import AuditRecord
from lykta_contracts.ids import is_slug
from lykta_contracts.instants import to_ms
from lykta_contracts.media import hour_prefix
from pydantic import ValidationError

from lykta_storage.domain.deletion import Deletion
from lykta_storage.domain.footage import CameraHour
from lykta_storage.store.hours import HourStore
from lykta_storage.store.versions import ObjectVersions

log = get_logger(__name__)

DELETED: Final = "footage.hour.deleted"
BATCH: Final = 500


@dataclass(frozen=True)
class Redeleted:
    """What was done: hours that have a receipt, keys destroyed again, hours whose objects were deleted again."""

    receipts: int
    keys: int
    hours: int


def read_receipts(lines: Iterable[bytes]) -> list[Deletion]:
    """Read deletion receipts, one audit record (JSON) per line; records of other actions are passed over.

    Raises PlatformError INVALID_FIELD that names the first line that is no record.
    """
    found: dict[CameraHour, Deletion] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = AuditRecord.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise invalid(f"line {number} is no audit record") from error
        if record.action == DELETED:
            deletion = _deletion(record, number)
            found[deletion.hour] = deletion
    return list(found.values())


class Redeletion:
    """Runs while the service is down, after a restore; running it again changes nothing."""

    def __init__(self, hours: HourStore, bucket: ObjectStore, versions: ObjectVersions) -> None:
        self._hours = hours
        self._bucket = bucket
        self._versions = versions

    async def run(self, receipts: list[Deletion]) -> Redeleted:
        """Destroy the keys first, then the objects; no new receipt, because the old one stands in the log."""
        deleted: set[CameraHour] = set()
        keys = 0
        for begin in range(0, len(receipts), BATCH):
            hours, destroyed = await self._hours.delete_again(receipts[begin : begin + BATCH])
            deleted |= hours
            keys += destroyed
        prefixes = {hour_prefix(*hour) for hour in deleted}
        # The bucket may hold objects of hours that the database knew as deleted, so it is asked, not the database.
        present = {f"{found.key.rpartition('/')[0]}/" async for found in self._bucket.list("footage/")} & prefixes
        for prefix in sorted(present):
            await self._versions.delete_under(prefix)
        log.info("deleted_again", receipts=len(receipts), keys=keys, hours=len(present))
        return Redeleted(len(receipts), keys, len(present))


def _deletion(record: AuditRecord, number: int) -> Deletion:
    details = record.details
    hour = CameraHour(record.controller, details.get("camera", ""), details.get("hour", ""))
    if not (is_slug(hour.controller) and is_slug(hour.camera) and hour.hour and details.get("recipient")):
        raise invalid(f"line {number} is no receipt of a deleted hour")
    return Deletion(hour, details["recipient"], to_ms(record.occurred_at), details.get("policy", ""))

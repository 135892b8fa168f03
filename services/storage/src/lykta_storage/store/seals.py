"""Rows of the roots that are in the audit log."""

from lykta_common.database import Database
from sqlalchemy import select

from lykta_storage.domain.footage import CameraHour, SealedRoot
from lykta_storage.store.tables import insert_new, sealed_roots


class SealStore:
    """Which recorder's roots the audit log holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, hour: CameraHour, run: str) -> SealedRoot | None:
        """Return the root over the most leaves of a run in an hour; None when the log holds none."""
        table = sealed_roots
        query = (
            select(table)
            .where(table.c.controller == hour.controller, table.c.camera == hour.camera)
            .where(table.c.hour == hour.hour, table.c.run == run)
            .order_by(table.c.leaf_count.desc())
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return SealedRoot(row.leaf_count, row.root, row.key_id, row.signature, row.audit_entry_id, row.audit_index)

    async def add(self, hour: CameraHour, run: str, root: SealedRoot) -> None:
        """Remember a root that the log has confirmed; again changes nothing."""
        row = {
            **hour._asdict(),
            "run": run,
            "leaf_count": root.count,
            "root": root.root,
            "key_id": root.key_id,
            "signature": root.signature,
            "audit_entry_id": root.audit_entry_id,
            "audit_index": root.audit_index,
        }
        async with self._database.transaction() as connection:
            await insert_new(connection, sealed_roots, [row])

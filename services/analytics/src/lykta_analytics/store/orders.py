"""The last mandate order of each camera, kept so that an older one is refused after a restart too."""

from lykta_common.database import Database
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from lykta_analytics.store.tables import ORDERS


class OrderArchive:
    """Signed envelopes as they came; they are verified again when they are read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, bytes]:
        """Every envelope by `<controller>.<camera>`."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(ORDERS))).all()
        return {f"{row.controller}.{row.camera}": row.envelope.encode() for row in rows}

    async def keep(self, controller: str, camera: str, serial: int, envelope: bytes) -> None:
        """Replaces the camera's envelope."""
        async with self._database.transaction() as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            statement = insert(ORDERS).values(
                controller=controller, camera=camera, serial=serial, envelope=envelope.decode()
            )
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["controller", "camera"],
                    set_={"serial": statement.excluded.serial, "envelope": statement.excluded.envelope},
                )
            )

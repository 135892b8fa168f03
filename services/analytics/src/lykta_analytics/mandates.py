"""The mandate orders analytics obeys: verified here, newest first, and never replaced by an older one."""

from lykta_common.errors import Code, PlatformError, invalid
from lykta_common.logging import get_logger
from lykta_common.signing import Verifier
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, MandateOrder
from pydantic import ValidationError

from lykta_analytics.store import OrderArchive

log = get_logger(__name__)

Place = tuple[str, str]


class MandateOrders:
    """The newest verified order of each camera; kept in the archive, so that a replayed older one stays refused."""

    def __init__(self, verifier: Verifier, archive: OrderArchive) -> None:
        self._verifier = verifier
        self._archive = archive
        self._orders: dict[Place, MandateOrder] = {}

    async def load(self) -> list[MandateOrder]:
        """Reads the archive, verifying each order again; one that does not verify is left out and logged."""
        for key, envelope in (await self._archive.all()).items():
            try:
                order = self._read(key, envelope)
            except PlatformError as error:
                log.error("archived_order_refused", key=key, reason=error.reason, error=error.message)
                continue
            self._orders[order.controller, order.camera] = order
        return list(self._orders.values())

    async def accept(self, key: str, envelope: bytes) -> MandateOrder | None:
        """Takes an order from the KV key `<controller>.<camera>`; None when it is the one already held.

        Raises `PlatformError` (BAD_SIGNATURE, INVALID_FIELD, or WRONG_STATE for a lower serial).
        """
        order = self._read(key, envelope)
        known = self._orders.get((order.controller, order.camera))
        if known is not None and order.serial < known.serial:
            message = f"order {order.serial} for {key} is older than {known.serial}, which is in force"
            raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
        if known == order:
            return None
        if known is not None and order.serial == known.serial:
            message = f"two different orders for {key} carry the serial {order.serial}"
            raise PlatformError(Code.FAILED_PRECONDITION, "CONFLICT", message)
        await self._archive.keep(order.controller, order.camera, order.serial, envelope)
        self._orders[order.controller, order.camera] = order
        return order

    @property
    def live(self) -> frozenset[Place]:
        """The cameras whose newest order is live, whatever the hour."""
        return frozenset(place for place, order in self._orders.items() if order.status == "live")

    def _read(self, key: str, envelope: bytes) -> MandateOrder:
        payload = self._verifier.open(MANDATE_ORDER_TYPE, envelope)
        try:
            order = MandateOrder.from_json(payload)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise invalid(f"the order for {key} cannot be read: {where}: {first['msg']}") from error
        if f"{order.controller}.{order.camera}" != key:
            raise invalid(f"the order under {key} is for {order.controller}.{order.camera}")
        return order

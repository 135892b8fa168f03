"""What comes in over NATS beside the durable consumers: signed orders from KV, and pushed revocations."""

import asyncio
from typing import Final

from lykta_common.backoff import Backoff
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import Messaging
from lykta_contracts.streams import MANDATES

from lykta_storage.mandates import MandateBook
from lykta_storage.playback.vigil import Revocations

log = get_logger(__name__)

REVOKED: Final = "lykta.v1.*.grant.revoked"


async def watch_mandates(messaging: Messaging, book: MandateBook) -> None:
    """Take in every mandate order, those of now and those to come, until cancelled."""
    await messaging.wait_connected()
    backoff = Backoff()
    while True:
        try:
            bucket = await messaging.bucket(MANDATES.name)
            backoff.reset()
            await bucket.watch(book.on_order)
        except PlatformError as error:
            log.warning("mandate_watch_waiting", reason=error.reason, error=error.message)
            await asyncio.sleep(backoff.next())


async def listen_for_revocations(messaging: Messaging, revocations: Revocations) -> None:
    """Take in pushed revocations until cancelled; a lost one is caught by the next question to access-control."""
    async with messaging.subscribe_core(REVOKED, revocations.on_message):
        await asyncio.get_running_loop().create_future()

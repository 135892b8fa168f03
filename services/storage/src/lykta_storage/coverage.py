"""Balances what mandates ordered against what was recorded and what was explained, camera by camera."""

from dataclasses import dataclass

from lykta_common.clock import Clock
from lykta_contracts.instants import to_ms

from lykta_storage.domain.coverage import Balance, balance, recordings
from lykta_storage.domain.footage import DeclaredGap
from lykta_storage.domain.spans import Span
from lykta_storage.domain.terms import scheduled
from lykta_storage.store.footage import FootageStore
from lykta_storage.store.terms import TermStore


@dataclass(frozen=True)
class CameraBalance:
    """The balance of one camera, and the gaps declared in the interval."""

    camera: str
    balance: Balance
    gaps: list[DeclaredGap]


class Coverage:
    """Says for every second whether it was recorded, explained, or neither."""

    def __init__(self, footage: FootageStore, terms: TermStore, clock: Clock) -> None:
        self._footage = footage
        self._terms = terms
        self._clock = clock

    async def of_controller(self, controller: str, camera: str, span: Span) -> list[CameraBalance]:
        """Balance one camera, or with an empty camera every one of the controller, in order."""
        cameras = [camera] if camera else await self._terms.cameras(controller)
        return [await self._of_camera(controller, name, span) for name in cameras]

    async def _of_camera(self, controller: str, camera: str, span: Span) -> CameraBalance:
        terms = await self._terms.of_camera(controller, camera)
        recorded = recordings(await self._footage.recorded_between(controller, camera, span))
        gaps = await self._footage.gaps_between(controller, camera, span)
        now_ms = to_ms(self._clock.now())
        result = balance(scheduled(terms, *span), recorded, [gap.span for gap in gaps], now_ms)
        return CameraBalance(camera, result, gaps)

"""Reads footage from the store: fetched, checked against both hashes, decrypted and proved, item by item."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.objectstore import ObjectStore
from lykta_contracts.instants import to_ms

from lykta_storage.domain.footage import CameraHour, SealedFragment
from lykta_storage.domain.terms import retention_hours_of, scheduled
from lykta_storage.domain.timeline import EdgeItem, EdgeReason, GapItem, Question, timeline
from lykta_storage.keyring import decrypt
from lykta_storage.media_keys import MediaKeys
from lykta_storage.playback.admission import Admitted
from lykta_storage.sealing import ProvenHour, Sealing
from lykta_storage.store.footage import FootageStore
from lykta_storage.store.terms import TermStore


@dataclass(frozen=True)
class InitPart:
    """What a player needs before the fragments of an epoch."""

    codec: str
    epoch: int
    payload: bytes


@dataclass(frozen=True)
class FragmentPart:
    """One GOP, checked, with the proof of its hash."""

    fragment: SealedFragment
    payload: bytes
    proven: ProvenHour


Part = InitPart | FragmentPart | GapItem | EdgeItem


class Reader:
    """Answers reads from catalogue, store and keys."""

    def __init__(
        self,
        *,
        footage: FootageStore,
        terms: TermStore,
        bucket: ObjectStore,
        keys: MediaKeys,
        sealing: Sealing,
        clock: Clock,
    ) -> None:
        self._footage = footage
        self._terms = terms
        self._bucket = bucket
        self._keys = keys
        self._sealing = sealing
        self._clock = clock

    async def read(self, admitted: Admitted) -> AsyncGenerator[Part, None]:
        """Yield what a reader was granted, in order; raises PlatformError INTEGRITY when bytes are not what they were.

        Work is done one fragment ahead of the consumer at most: that is the consumer's bound.
        """
        question = await self._question(admitted)
        controller, camera = admitted.wanted.controller, admitted.wanted.camera
        proven: ProvenHour | None = None
        identity: tuple[CameraHour, str | None] | None = None
        shown: tuple[int, bytes] | None = None
        for item in timeline(question):
            if not isinstance(item, SealedFragment):
                yield item
                continue
            hour = CameraHour(controller, camera, item.hour)
            if identity is None or identity[0] != hour:
                identity = (hour, await self._keys.identity(hour))
            if identity[1] is None or question.expired(item, to_ms(self._clock.now())):
                yield EdgeItem(item.span, EdgeReason.DELETED)
                continue
            if proven is None or (proven.hour, proven.run) != (hour, item.run) or not proven.proves(item.leaf):
                proven = await self._sealing.prove(hour, item.run, item.leaf)
            try:
                init, payload = await self._open(item, identity[1])
            except PlatformError as error:
                if error.reason == "OBJECT_MISSING" and await self._keys.identity(hour) is None:
                    identity = (hour, None)
                    yield EdgeItem(item.span, EdgeReason.DELETED)
                    continue
                raise
            if shown != (item.epoch, init):
                shown = (item.epoch, init)
                yield InitPart(item.codec, item.epoch, init)
            yield FragmentPart(item, payload, proven)

    async def _question(self, admitted: Admitted) -> Question:
        controller, camera = admitted.wanted.controller, admitted.wanted.camera
        asked = admitted.wanted.span
        fragments = await self._footage.fragments_between(controller, camera, asked)
        gaps = await self._footage.gaps_between(controller, camera, asked)
        terms = await self._terms.of_camera(controller, camera)
        versions = {(f.mandate_id, f.mandate_version) for f in fragments}
        return Question(
            asked=asked,
            granted=admitted.grant.footage,
            fragments=fragments,
            gaps=gaps,
            scheduled=scheduled(terms, *asked),
            retention_hours={pair: retention_hours_of(terms, *pair) for pair in versions},
            now_ms=to_ms(self._clock.now()),
        )

    async def _open(self, fragment: SealedFragment, identity: str) -> tuple[bytes, bytes]:
        """Return init and payload of a fragment."""
        try:
            cipher = await self._bucket.get_range(fragment.object_key, fragment.offset, fragment.length)
        except PlatformError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            message = f"the object of segment {fragment.segment_id} is missing from the store"
            raise PlatformError(Code.DATA_LOSS, "OBJECT_MISSING", message) from error
        return await asyncio.to_thread(_check_and_decrypt, fragment, cipher, identity)


def _check_and_decrypt(fragment: SealedFragment, cipher: bytes, identity: str) -> tuple[bytes, bytes]:
    if hashlib.sha256(cipher).hexdigest() != fragment.cipher_sha256:
        raise _altered(fragment, "stored bytes")
    plain = decrypt(cipher, identity)
    if hashlib.sha256(plain).hexdigest() != fragment.sha256:
        raise _altered(fragment, "footage")
    return plain[: fragment.init_length], plain[fragment.init_length :]


def _altered(fragment: SealedFragment, what: str) -> PlatformError:
    message = f"segment {fragment.segment_id}, fragment {fragment.leaf}: the {what} do not match their hash"
    return PlatformError(Code.DATA_LOSS, "INTEGRITY", message)

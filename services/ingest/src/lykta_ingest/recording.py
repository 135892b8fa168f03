"""One recording session: takes GOPs from the camera and gives fragments to the spool, within the allowed hours."""

from __future__ import annotations

from datetime import datetime

from lykta_common.logging import get_logger
from lykta_contracts.events import CameraClockSkewed, CameraConnected, new_event
from lykta_contracts.instants import from_ms, hour_of, to_ms
from lykta_contracts.mandates import MandateOrder

from lykta_ingest.agefile import Recipient
from lykta_ingest.domain import CameraRef, State, Status, Terms, Why
from lykta_ingest.drafts import EventDraft, FragmentDraft
from lykta_ingest.errors import malformed
from lykta_ingest.fmp4 import init_segment
from lykta_ingest.gop import Gop, GopAssembler, Part
from lykta_ingest.h264 import NAL_PPS, NAL_SPS, parse_sps, require_no_reordering
from lykta_ingest.ledger import Ledger
from lykta_ingest.media import HEAD_ROOM
from lykta_ingest.rtcp import parse_sender_report
from lykta_ingest.rtp import H264Depacketizer
from lykta_ingest.sdp import VideoTrack
from lykta_ingest.station import Station

log = get_logger(__name__)

_SKEW_MS = 1000
_INIT_MAX = HEAD_ROOM // 4
_CLOCK_UNCERTAINTY_MS = 250
_NO_KEY = Why("PLATFORM", "no media key for the hour was at hand; see that storage runs and reaches NATS")
_PAST_HOURS = Why("PLATFORM", "the last key frame interval reached past the allowed hours and was dropped")


class Recording:
    """The sink of one RTSP session's GOPs (`GopSink`); everything runs on the event loop and never blocks.

    `why` explains the next hole; it starts with why nothing was recorded before this session.
    """

    def __init__(self, station: Station, ledger: Ledger, status: Status, order: MandateOrder, token: int) -> None:
        self._station = station
        self._ledger = ledger
        self._status = status
        self._token = token
        self._ref: CameraRef = ledger.ref
        self.order = order
        self.until_ms = 0
        self.why = Why("PLATFORM", "connecting to the camera")
        self.fragments = 0
        self.failed_to_ms = 0
        self._terms: Terms | None = None
        self._init = b""
        self._trace = ""
        self._recipient: tuple[str, Recipient | None] = ("", None)
        self._clock: tuple[str, int, int] = ("arrival", 0, 0)
        self._reported_offset_ms = 0
        self._frames_before = status.frames
        settings = station.settings
        self.assembler = GopAssembler(
            self,
            station.now_ms,
            station.buffers,
            last_to_ms=status.recorded_to_ms,
            part_ticks=settings.part_ms * 90 if settings.live_parts else None,
        )
        self.depacketizer: H264Depacketizer | None = None

    def new_depacketizer(self, track: VideoTrack) -> H264Depacketizer:
        """Return the depacketizer of the track, seeded with the parameter sets of its SDP."""
        self.depacketizer = H264Depacketizer(self.assembler, track.payload_type)
        self.depacketizer.seed(track.parameter_sets)
        return self.depacketizer

    # -- GopSink -------------------------------------------------------------------------------------------------

    def epoch_began(self, epoch_ms: int, reason: str) -> None:
        """Fix the terms of the epoch from the parameter sets in force; raises CameraError when there are none."""
        parameters = self.depacketizer.parameters if self.depacketizer else {}
        sps_nals = [nal for (kind, _), nal in parameters.items() if kind == NAL_SPS]
        pps_nals = [nal for (kind, _), nal in parameters.items() if kind == NAL_PPS]
        if not sps_nals or not pps_nals:
            raise malformed("the camera sends no H.264 parameter sets; restart the camera or update its firmware")
        sps = parse_sps(sps_nals[-1])
        require_no_reordering(sps)
        self._init = init_segment(sps, sps_nals, pps_nals)
        if len(self._init) > _INIT_MAX:
            raise malformed("the camera sends too many H.264 parameter sets; restart the camera")
        document = self.order.mandate
        self._terms = Terms(
            self._ref.controller,
            self._ref.camera,
            document.place,
            document.mandate_id,
            document.version,
            self._token,
            epoch_ms,
            sps.codec,
            sps.width,
            sps.height,
        )  #
        status = self._status
        status.codec, status.width, status.height = sps.codec, sps.width, sps.height
        log.info("epoch_began", camera=self._ref.key, epoch=epoch_ms, reason=reason, codec=sps.codec)
        self._tell_connected(self._terms)

    def gop_closed(self, gop: Gop) -> None:
        """Send a GOP to the spool, unless it reaches past the allowed hours or cannot be encrypted."""
        self._status.frames = self._frames_before + self.assembler.frames
        terms = self._terms
        if terms is None:
            return
        if gop.to_ms > self.until_ms:
            self.why = _PAST_HOURS
            return
        recipient = self._recipient_for(gop.from_ms)
        if recipient is None:
            self.why = _NO_KEY
            self._status.state, self._status.detail = State.NO_KEY, _NO_KEY.detail
            return
        draft = FragmentDraft(
            self._station.author,
            self._ledger,
            self.order,
            terms,
            gop,
            self._station.buffers,
            self._init,
            recipient,
            self.why,
            self._clock,
            self._trace or self._station.new_trace(*self._ref),
        )  #
        self._trace = ""
        self.fragments += 1
        self.why = Why("CAMERA", "the camera left out pictures")
        to_ms_ = gop.to_ms
        self._station.keeper.keep(draft, gop.buffer.end, lambda error: self._settled(to_ms_, error))

    def gop_lost(self, from_ms: int, to_ms: int, detail: str) -> None:
        """Explain the hole that an unusable stretch leaves."""
        self.why = Why("CAMERA", detail)
        log.warning("gop_lost", camera=self._ref.key, from_ms=from_ms, to_ms=to_ms, detail=detail)

    def part_closed(self, part: Part) -> None:
        """Publish a live part; only while recording is allowed."""
        if part.key or not self._trace:
            self._trace = self._station.new_trace(*self._ref)
        if self._terms is not None and self._station.now_ms() < self.until_ms:
            self._station.live.offer(part, self._terms, self._init, self._trace)

    # -- the rest ------------------------------------------------------------------------------------------------

    def follow(self, order: MandateOrder, until_ms: int) -> None:
        """Go on under a newer version of the mandate: from the next fragment a new segment names it."""
        self.order, self.until_ms = order, until_ms
        self._renew_terms()

    def fence(self, token: int) -> None:
        """Go on under a lease that was taken anew: from the next fragment a new segment names its token."""
        if token != self._token:
            self._token = token
            self._renew_terms()

    def _renew_terms(self) -> None:
        old, document = self._terms, self.order.mandate
        if old is not None:
            self._terms = Terms(
                old.controller,
                old.camera,
                document.place,
                document.mandate_id,
                document.version,
                self._token,
                old.epoch,
                old.codec,
                old.width,
                old.height,
            )  #

    def now(self) -> datetime:
        """The platform's time."""
        return self._station.clock.now()

    @property
    def silence_limit_s(self) -> float:
        """How long the camera may send nothing, seconds."""
        return self._station.settings.camera_silence_seconds

    def on_control(self, packet: memoryview) -> None:
        """Learn the camera's clock from a sender report (RTCP); it is stored, never obeyed."""
        report = parse_sender_report(packet)
        if report is None:
            return
        offset = report.unix_ms - self._station.now_ms()
        self._clock = ("rtcp", offset, _CLOCK_UNCERTAINTY_MS)
        self._status.clock_offset_ms = offset
        if abs(offset) > _SKEW_MS and abs(offset - self._reported_offset_ms) > _SKEW_MS:
            self._reported_offset_ms = offset
            self._tell_skewed(offset)

    def _recipient_for(self, start_ms: int) -> Recipient | None:
        hour = hour_of(from_ms(start_ms))
        if self._recipient[0] != hour or self._recipient[1] is None:
            self._recipient = (hour, self._station.keys.recipient(self._ref, hour))
        return self._recipient[1]

    def _settled(self, end_ms: int, error: Exception | None) -> None:
        status = self._status
        if error is None:
            status.fragments_spooled += 1
            status.recorded_to_ms = max(status.recorded_to_ms, end_ms)
            status.state, status.detail = State.RECORDING, ""
        else:
            self.failed_to_ms = end_ms
            self.why = Why("DISK", str(error))
            status.detail = f"not recorded: {error}"

    def _tell_connected(self, terms: Terms) -> None:
        data = CameraConnected(
            controller=terms.controller,
            camera=terms.camera,
            epoch=terms.epoch,
            codec=terms.codec,
            width=terms.width,
            height=terms.height,
        )
        event_id = f"connected.{self._ref.key}.{terms.epoch}"
        event = new_event(data, event_id, self._station.author.source, self._station.clock.now())
        self._station.keeper.keep(EventDraft(event))

    def _tell_skewed(self, offset_ms: int) -> None:
        data = CameraClockSkewed(controller=self._ref.controller, camera=self._ref.camera, offset_ms=offset_ms)
        now = self._station.clock.now()
        event_id = f"clock-skewed.{self._ref.key}.{to_ms(now)}"
        self._station.keeper.keep(EventDraft(new_event(data, event_id, self._station.author.source, now)))

"""What analytics shows of itself to a scraper: parts, pictures, the detector's time, incidents and their latency."""

import time
from collections.abc import Collection

from lykta_common.clock import Clock
from lykta_common.metrics import Metrics
from lykta_contracts.incidents import Incident
from prometheus_client import Histogram

from lykta_analytics.domain import Detection
from lykta_analytics.ports import Image, ObjectDetector


class AnalyticsMetrics:
    """The metrics of analytics; labels name cameras and categories, never what was seen."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        camera = ("controller", "camera")
        self._clock = clock
        self.outbox_pending = metrics.outbox_pending()
        self.parts = metrics.counter("parts", "Live parts received", camera)
        self.parts_dropped = metrics.counter("parts_dropped", "Live parts given up because analysis is behind", camera)
        self.pictures = metrics.counter("pictures", "Pictures analysed", camera)
        self.decoder_failures = metrics.counter("decoder_failures", "Parts that did not decode", ["reason"])
        self.detector_seconds = metrics.latency("detector_seconds", "Time of one picture in the detector")
        self._incidents = metrics.counter(
            "incidents", "Steps of incidents committed", ["controller", "category", "lifecycle"]
        )
        self._commit_seconds = metrics.latency(
            "incident_commit_seconds", "From a frame to the commit of the incident step that it led to"
        )

    def committed(self, incident: Incident) -> None:
        """Count a step that was committed just now."""
        self._incidents.labels(incident.controller, incident.category, incident.lifecycle).inc()
        self._commit_seconds.observe(max(0.0, (self._clock.now() - incident.observed_at).total_seconds()))


class TimedDetector:
    """A detector whose calls are timed; called from worker threads."""

    def __init__(self, detector: ObjectDetector, seconds: Histogram) -> None:
        self._detector = detector
        self._seconds = seconds

    def detect(self, image: Image, labels: Collection[str], least: float) -> list[Detection]:
        """Detect as the detector does."""
        began = time.perf_counter()
        try:
            return self._detector.detect(image, labels, least)
        finally:
            self._seconds.observe(time.perf_counter() - began)

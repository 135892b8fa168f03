"""Streams, durable consumers and KV buckets: the one table that bootstrap, permissions, chart and tests read."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

ANY: Final = "*"


@dataclass(frozen=True)
class Stream:
    """A JetStream stream; `nouns` are the third tokens after `lykta.v1.<controller>`."""

    name: str
    nouns: tuple[str, ...]
    kept: timedelta

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subject filters of the stream."""
        return tuple(f"lykta.v1.*.{noun}.>" for noun in self.nouns)


@dataclass(frozen=True)
class Durable:
    """A durable pull consumer; `filters` are subject filters within its stream.

    A message whose handler failed `max_failures` times is dead-lettered; outages of what it needs do not count.
    """

    name: str
    stream: str
    service: str
    filters: tuple[str, ...]
    max_failures: int = 8
    ack_wait: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Bucket:
    """A KV bucket."""

    name: str
    writer: str
    readers: tuple[str, ...]
    history: int = 1
    ttl: timedelta | None = None


FOOTAGE: Final = Stream("FOOTAGE", ("segment", "gap", "hold", "export"), timedelta(days=7))
CAMERA: Final = Stream("CAMERA", ("camera",), timedelta(days=7))
INCIDENT: Final = Stream("INCIDENT", ("incident",), timedelta(days=30))
GOVERNANCE: Final = Stream("GOVERNANCE", ("mandate", "grant", "case", "approval"), timedelta(days=30))
AUDIT: Final = Stream("AUDIT", ("audit", "checkpoint"), timedelta(days=30))
DEADLETTER: Final = Stream("DEADLETTER", ("deadletter",), timedelta(days=90))
STREAMS: Final = (FOOTAGE, CAMERA, INCIDENT, GOVERNANCE, AUDIT, DEADLETTER)

# Longer than the longest outbox retry, so that a replayed publication is recognised (contracts: duplicate window).
DUPLICATE_WINDOW: Final = timedelta(minutes=30)

STORAGE_FOOTAGE: Final = Durable(
    "storage-footage", "FOOTAGE", "storage", ("lykta.v1.*.segment.recorded.>", "lykta.v1.*.gap.declared.>")
)
INGEST_STORED: Final = Durable("ingest-stored", "FOOTAGE", "ingest", ("lykta.v1.*.segment.stored.>",))
AUDIT_OBSERVED: Final = Durable("audit-observed", "AUDIT", "audit", ("lykta.v1.*.audit.observed",))
STORAGE_MANDATES: Final = Durable("storage-mandates", "GOVERNANCE", "storage", ("lykta.v1.*.mandate.>",))
DURABLES: Final = (STORAGE_FOOTAGE, INGEST_STORED, AUDIT_OBSERVED, STORAGE_MANDATES)

MANDATES: Final = Bucket("mandates", "access-control", ("ingest", "storage", "analytics"))
MEDIA_KEYS: Final = Bucket("media-keys", "storage", ("ingest",))
LEASES: Final = Bucket("leases", "ingest", ("ingest",), ttl=timedelta(seconds=15))
BUCKETS: Final = (MANDATES, MEDIA_KEYS, LEASES)

MEDIA_SUBJECT: Final = "lykta.media.v1.{controller}.{camera}.main"


def dead_letter_subject(subject: str, stream: str, durable: str) -> str:
    """Name where a message that cannot be handled goes; it stays with its controller."""
    parts = subject.split(".")
    controller = parts[2] if len(parts) > 2 and parts[:2] == ["lykta", "v1"] else "platform"
    return f"lykta.v1.{controller}.deadletter.{stream}.{durable}"

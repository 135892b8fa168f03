"""The services a platform consists of: the one table that supervisor, status and commands read."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Service:
    """One service: its workload name, its package, and what people call its work."""

    name: str
    package: str
    does: str


SERVICES: Final = (
    Service("access-control", "lykta_access_control", "decides: mandates, cases, grants"),
    Service("audit", "lykta_audit", "keeps the log"),
    Service("storage", "lykta_storage", "keeps footage and shows it"),
    Service("ingest", "lykta_ingest", "records"),
    Service("analytics", "lykta_analytics", "notices incidents"),
)
NAMES: Final = tuple(service.name for service in SERVICES)

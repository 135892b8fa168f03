"""The demo municipality: who the people of Linköping's demo are, and its controllers, places, cameras and mandates."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lykta_contracts.mandates import Analytic, LegalGround, MandateDocument, Point, Zone
from lykta_contracts.roles import Role

from lykta_standalone.dev_identity import Identity
from lykta_standalone.environment import PLATFORM_OPERATOR


@dataclass(frozen=True)
class Person:
    """A demo person; the OIDC subject is the short name. `roles` are those in `controller`."""

    identity: Identity
    controller: str
    roles: tuple[Role, ...]
    does: str


@dataclass(frozen=True)
class DemoCamera:
    """A camera that replays street footage from a point of the film (seconds)."""

    camera: str
    name: str
    offset_s: float
    zone: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class DemoPlace:
    """A place, its stated problem, and its cameras."""

    place: str
    name: str
    problem: str
    cameras: tuple[DemoCamera, ...]


@dataclass(frozen=True)
class DemoController:
    """A controller: who administers it, who approves for it, and its places."""

    controller: str
    name: str
    admin: str
    approver: str
    technician: str
    places: tuple[DemoPlace, ...]


def _person(name: str, full: str, controller: str, roles: tuple[Role, ...], does: str) -> Person:
    return Person(Identity(name, full), controller, roles, does)


PEOPLE: Final = {
    person.identity.subject: person
    for person in (
        _person(PLATFORM_OPERATOR, "Driften", "", (), "runs the platform, sees no footage"),
        _person("karin", "Karin Ek", "ks", (Role.ADMIN,), "drafts mandates of Kommunstyrelsen"),
        _person(
            "anna", "Anna Berg", "ks", (Role.INVESTIGATOR, Role.APPROVER), "investigates, and approves what others ask"
        ),
        _person("bertil", "Bertil Holm", "ks", (Role.APPROVER,), "the second person of Kommunstyrelsen"),
        _person("olle", "Olle Sand", "ks", (Role.OPERATOR, Role.TECHNICIAN), "sees incidents and the cameras' health"),
        _person("david", "David Lind", "ks", (Role.DPO, Role.AUDITOR), "data protection officer: reads the log"),
        _person("fredrik", "Fredrik Ås", "stangastaden", (Role.ADMIN,), "drafts mandates of Stångåstaden"),
        _person(
            "eva", "Eva Nord", "stangastaden", (Role.INVESTIGATOR, Role.OPERATOR, Role.APPROVER, Role.DPO),
            "may do a great deal, at Stångåstaden only",
        ),
        _person("gun", "Gun Ström", "stangastaden", (Role.APPROVER,), "the second person of Stångåstaden"),
    )
}  # fmt: skip

_PAVEMENT: Final = ((0.25, 0.35), (0.75, 0.35), (0.75, 0.95), (0.25, 0.95))
_LEFT: Final = ((0.02, 0.3), (0.5, 0.3), (0.5, 0.98), (0.02, 0.98))
_RIGHT: Final = ((0.5, 0.3), (0.98, 0.3), (0.98, 0.98), (0.5, 0.98))

CONTROLLERS: Final = (
    DemoController(
        "ks", "Kommunstyrelsen", "karin", "bertil", "olle",
        (
            DemoPlace(
                "tradgardstorget", "Trädgårdstorget", "violence and open drug dealing in the evenings",
                (
                    DemoCamera("tradgardstorget-1", "Trädgårdstorget, mot busshållplatsen", 0.0, _PAVEMENT),
                    DemoCamera("tradgardstorget-2", "Trädgårdstorget, gångstråket", 26.0, _LEFT),
                ),
            ),
        ),
    ),
    DemoController(
        "stangastaden", "AB Stångåstaden", "fredrik", "gun", "eva",
        (
            DemoPlace(
                "ryd-centrum", "Ryds centrum", "arson and vandalism at night",
                (DemoCamera("ryd-centrum-1", "Ryds centrum, entrén", 52.0, _RIGHT),),
            ),
        ),
    ),
)  # fmt: skip


def demo_cameras() -> list[DemoCamera]:
    """Return every camera of the demo."""
    return [camera for owner in CONTROLLERS for place in owner.places for camera in place.cameras]


def demo_document(controller: str, place: DemoPlace, camera: DemoCamera, now: datetime) -> MandateDocument:
    """Write the decision behind one demo camera."""
    analytics = (
        Analytic(
            detector="person-in-zone", zones=(zone("gangyta", camera.zone),), min_confidence=0.5, quiet_seconds=2.0
        ),
    )
    return document(controller, place.place, camera.camera, now, purpose=place.problem, analytics=analytics)


def document(
    controller: str, place: str, camera: str, now: datetime, *, purpose: str, analytics: tuple[Analytic, ...]
) -> MandateDocument:
    """Write a decision that is valid for a year from now, around the clock, with the legal retention."""
    start = now.astimezone(UTC).replace(microsecond=0) - timedelta(minutes=1)
    return MandateDocument(
        controller=controller,
        place=place,
        cameras=(camera,),
        purpose=f"prevent and investigate {purpose}",
        legal_ground=LegalGround(text="demo: the balancing test of 8-9 §§ kamerabevakningslagen would be filed here"),
        analytics=analytics,
        valid_from=start,
        valid_to=start + timedelta(days=365),
        review_at=start + timedelta(days=180),
    )


def zone(zone_id: str, corners: tuple[tuple[float, float], ...]) -> Zone:
    """Make a zone from its corners."""
    return Zone(zone_id=zone_id, polygon=tuple(Point(x=x, y=y) for x, y in corners))

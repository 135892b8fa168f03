"""NATS users and their subject permissions, derived from the table of streams; deny by default."""

from dataclasses import dataclass
from typing import Final

from lykta_contracts.streams import AUDIT, BUCKETS, DEADLETTER, DURABLES, Bucket, Durable


@dataclass(frozen=True)
class UserPermissions:
    """What one NATS user may publish and subscribe to."""

    user: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


# What each service may state as fact; the third token is the controller.
FACTS: Final[dict[str, tuple[str, ...]]] = {
    "ingest": ("lykta.v1.*.segment.recorded.*", "lykta.v1.*.gap.declared.*", "lykta.v1.*.camera.>", "lykta.media.v1.>"),
    "analytics": ("lykta.v1.*.incident.>", "lykta.v1.*.camera.tampered.*"),
    "storage": (
        "lykta.v1.*.segment.stored.*",
        "lykta.v1.*.segment.deleted.*",
        "lykta.v1.*.hold.>",
        "lykta.v1.*.export.>",
    ),
    "access-control": (
        "lykta.v1.*.mandate.>",
        "lykta.v1.*.grant.>",
        "lykta.v1.*.case.>",
        "lykta.v1.*.approval.>",
    ),
    "audit": ("lykta.v1.*.checkpoint.>",),
}

# Core subscriptions beside durables and KV watches.
LISTENS: Final[dict[str, tuple[str, ...]]] = {
    "analytics": ("lykta.media.v1.>",),
    "storage": ("lykta.v1.*.grant.revoked",),
}
SERVICES: Final = tuple(FACTS)
BOOTSTRAP_USER: Final = "bootstrap"


def service_permissions(service: str) -> UserPermissions:
    """Return the permissions of one service's user."""
    publish = [*FACTS[service], "lykta.v1.*.audit.observed", "lykta.v1.*.deadletter.*.*"]
    for durable in DURABLES:
        if durable.service == service:
            publish += _consume(durable)
    subscribe = ["_INBOX." + service + ".>", *LISTENS.get(service, ())]
    for bucket in BUCKETS:
        if service == bucket.writer or service in bucket.readers:
            publish += _read_bucket(bucket)
            subscribe.append(f"$KV.{bucket.name}.>")
        if service == bucket.writer:
            publish.append(f"$KV.{bucket.name}.>")
    publish += ["$JS.API.INFO", "$JS.API.STREAM.NAMES", f"$JS.API.STREAM.INFO.{AUDIT.name}"]
    return UserPermissions(service, tuple(dict.fromkeys(publish)), tuple(subscribe))


def subscriber_permissions(user: str, controller: str) -> UserPermissions:
    """Return the permissions of a downstream reader of one controller's incidents, and of nothing else.

    It may read live through core NATS, and from the stream only through a consumer whose filter the server
    checks against the subject (`$JS.API.CONSUMER.CREATE.<stream>.<name>.<filter>`, ADR-9 of the NATS project).
    """
    facts = f"lykta.v1.{controller}.incident.>"
    return UserPermissions(
        user,
        (
            f"$JS.API.CONSUMER.CREATE.INCIDENT.{user}.{facts}",
            f"$JS.API.CONSUMER.INFO.INCIDENT.{user}",
            f"$JS.API.CONSUMER.MSG.NEXT.INCIDENT.{user}",
            f"$JS.ACK.INCIDENT.{user}.>",
            "$JS.API.INFO",
        ),
        (f"_INBOX.{user}.>", facts),
    )


def bootstrap_permissions() -> UserPermissions:
    """Return the permissions of the user that creates streams, durables and buckets, and states no facts."""
    return UserPermissions(BOOTSTRAP_USER, ("$JS.API.>",), (f"_INBOX.{BOOTSTRAP_USER}.>",))


def all_permissions() -> tuple[UserPermissions, ...]:
    """Return every fixed user's permissions."""
    return (*(service_permissions(service) for service in SERVICES), bootstrap_permissions())


def _consume(durable: Durable) -> list[str]:
    name, stream = durable.name, durable.stream
    return [
        f"$JS.API.CONSUMER.INFO.{stream}.{name}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}",
        f"$JS.ACK.{stream}.{name}.>",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.INFO.{DEADLETTER.name}",
    ]


def _read_bucket(bucket: Bucket) -> list[str]:
    stream = f"KV_{bucket.name}"
    return [
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.INFO.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.>",
        f"$JS.ACK.{stream}.>",
        f"$JS.FC.{stream}.>",
    ]

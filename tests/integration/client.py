"""An outsider's client: gRPC stubs of a platform, as a workload with a certificate and a person with a token."""

from __future__ import annotations

import json
import queue
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.access_control.v1 import (
    directory_service_pb2_grpc,
    grant_service_pb2_grpc,
    mandate_service_pb2_grpc,
    policy_service_pb2_grpc,
)
from lykta.access_control.v1 import grant_service_pb2 as cases
from lykta.analytics.v1 import detector_service_pb2_grpc, incident_service_pb2_grpc
from lykta.audit.v1 import log_service_pb2_grpc
from lykta.ingest.v1 import session_service_pb2_grpc
from lykta.storage.v1 import catalogue_service_pb2_grpc, playback_service_pb2_grpc
from lykta.storage.v1 import playback_service_pb2 as playback
from lykta_contracts.platform_file import PlatformFile

GRANT_TYPE = "urn:lykta:grant-type:development"
DEADLINE_SECONDS = 15.0
MAX_MESSAGE = 48 * 1024 * 1024
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")

STUBS: dict[str, tuple[str, Any]] = {
    "PolicyService": ("access-control", policy_service_pb2_grpc.PolicyServiceStub),
    "MandateService": ("access-control", mandate_service_pb2_grpc.MandateServiceStub),
    "ControllerService": ("access-control", directory_service_pb2_grpc.ControllerServiceStub),
    "PlaceService": ("access-control", directory_service_pb2_grpc.PlaceServiceStub),
    "CameraService": ("access-control", directory_service_pb2_grpc.CameraServiceStub),
    "MemberService": ("access-control", directory_service_pb2_grpc.MemberServiceStub),
    "CaseService": ("access-control", grant_service_pb2_grpc.CaseServiceStub),
    "GrantService": ("access-control", grant_service_pb2_grpc.GrantServiceStub),
    "CatalogueService": ("storage", catalogue_service_pb2_grpc.CatalogueServiceStub),
    "MediaKeyService": ("storage", catalogue_service_pb2_grpc.MediaKeyServiceStub),
    "RetentionService": ("storage", catalogue_service_pb2_grpc.RetentionServiceStub),
    "PlaybackService": ("storage", playback_service_pb2_grpc.PlaybackServiceStub),
    "IncidentService": ("analytics", incident_service_pb2_grpc.IncidentServiceStub),
    "DetectorService": ("analytics", detector_service_pb2_grpc.DetectorServiceStub),
    "SessionService": ("ingest", session_service_pb2_grpc.SessionServiceStub),
    "LogService": ("audit", log_service_pb2_grpc.LogServiceStub),
}
"""Every service of the platform: who serves it, and its stub."""


class Refusal(Exception):  # noqa: N818 - a refusal is an answer
    """A call that was refused or failed: canonical code, stable reason, and the words for people."""

    def __init__(self, code: str, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


def stamp(at: datetime) -> Timestamp:
    """Return an instant as protobuf."""
    made = Timestamp()
    made.FromDatetime(at.astimezone(UTC))
    return made


def instant(at: Timestamp) -> datetime:
    """Return a protobuf instant as an aware UTC datetime."""
    return at.ToDatetime(tzinfo=UTC)


class Client:
    """Calls of one workload; `ask` speaks for a person when one is named.

    With `patience` (seconds) a unary call is made again while its service is away; `traceparent` (W3C) goes with every
    call.
    """

    def __init__(self, platform: PlatformFile, workload: str, files: tuple[Path, Path] | None = None) -> None:
        self.platform = platform
        self.patience = 0.0
        self.traceparent = ""
        self._workload = workload
        self._files = files
        self._channels: dict[str, grpc.Channel] = {}
        self._tokens: dict[str, str] = {}

    def ask(
        self, method: str, request: Any, person: str = "", *, grant: str = "", seconds: float = DEADLINE_SECONDS
    ) -> Any:
        """Make one unary call, e.g. `CaseService.Open`; raises Refusal."""
        until = time.monotonic() + self.patience
        while True:
            try:
                return self._method(method)(request, metadata=self.metadata(person, grant), timeout=seconds)
            except grpc.RpcError as error:
                refused = refusal(error)
                if refused.code not in AWAY or time.monotonic() > until:
                    raise refused from error
            time.sleep(0.3)

    def stream(
        self, method: str, request: Any, person: str = "", *, grant: str = "", seconds: float = DEADLINE_SECONDS
    ) -> Iterator[Any]:
        """Make a call that answers with a stream (`request` is a message, or an iterator of them); raises Refusal."""
        try:
            yield from self._method(method)(request, metadata=self.metadata(person, grant), timeout=seconds)
        except grpc.RpcError as error:
            raise refusal(error) from error

    def metadata(self, person: str, grant: str = "") -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call; a person that is a whole token is sent as it is."""
        found: list[tuple[str, str]] = []
        if person:
            token = person if "." in person else self.token(person)
            found.append(("authorization", f"Bearer {token}"))
        if self.traceparent:
            found.append(("traceparent", self.traceparent))
        if grant:
            found.append(("lykta-grant", grant))
        return tuple(found)

    def token(self, person: str) -> str:
        """Return a demo person's token from the development identity provider."""
        if person not in self._tokens:
            form = {
                "grant_type": GRANT_TYPE,
                "person": person,
                "client_secret": Path(self.platform.oidc_client_secret_file).read_text().strip(),
            }
            context = ssl.create_default_context(cafile=self.platform.ca_file)
            request = urllib.request.Request(
                f"{self.platform.oidc_issuer}/token", data=urllib.parse.urlencode(form).encode()
            )
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                self._tokens[person] = str(json.loads(answer.read())["id_token"])
        return self._tokens[person]

    def channel(self, service: str) -> grpc.Channel:
        """Return the channel to a service, made when first needed."""
        if service not in self._channels:
            certificate, key = self._files or self._known_files()
            credentials = grpc.ssl_channel_credentials(
                Path(self.platform.ca_file).read_bytes(), key.read_bytes(), certificate.read_bytes()
            )
            options = [
                ("grpc.ssl_target_name_override", service),
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ]
            self._channels[service] = grpc.secure_channel(self.platform.grpc[service], credentials, options=options)
        return self._channels[service]

    def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            channel.close()

    def _method(self, name: str) -> Callable[..., Any]:
        service, _, rpc = name.partition(".")
        peer, stub = STUBS[service]
        found: Callable[..., Any] = getattr(stub(self.channel(peer)), rpc)
        return found

    def _known_files(self) -> tuple[Path, Path]:
        client = self.platform.clients[self._workload]
        return Path(client.certificate_file), Path(client.key_file)


@contextmanager
def connected(platform: PlatformFile, workload: str = "cli") -> Iterator[Client]:
    """Connect for the block as a workload that `platform.json` has a certificate for."""
    client = Client(platform, workload)
    try:
        yield client
    finally:
        client.close()


def refusal(error: grpc.RpcError) -> Refusal:
    """Read code and reason of a failed call."""
    reasons = {str(key): value for key, value in (error.trailing_metadata() or ())}  # type: ignore[attr-defined]
    return Refusal(error.code().name, str(reasons.get("lykta-reason", "")), str(error.details()))  # type: ignore[attr-defined]


def played(client: Client, person: str, opened: Any, *, grant: str = "", seconds: float = 20.0) -> Iterator[Any]:
    """Read footage as a person, a credit for every fragment that came; yields the items, raises Refusal."""
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    requests.put(playback.ReadRequest(open=opened))
    try:
        for answer in client.stream(
            "PlaybackService.Read", iter(requests.get, None), person, grant=grant, seconds=seconds
        ):
            yield answer
            if answer.WhichOneof("item") == "fragment":
                requests.put(playback.ReadRequest(credits=1))
    finally:
        requests.put(None)


@dataclass(frozen=True)
class Grant:
    """An issued grant: its id and its token."""

    grant_id: str
    token: str


def granted(client: Client, cameras: tuple[str, ...], interval: tuple[datetime, datetime]) -> Grant:
    """Have anna ask for playback in a new case of `ks`, and bertil approve it."""
    opened = client.ask(
        "CaseService.Open", cases.CaseServiceOpenRequest(controller="ks", reference="T-1", purpose="a test"), "anna"
    )
    wanted = cases.GrantServiceRequestRequest(
        case_id=opened.case.case_id, cameras=cameras, actions=["footage.playback"], to=stamp(interval[1])
    )
    getattr(wanted, "from").CopyFrom(stamp(interval[0]))
    grant_id = str(client.ask("GrantService.Request", wanted, "anna").grant.grant_id)
    client.ask("GrantService.Approve", cases.GrantServiceApproveRequest(grant_id=grant_id), "bertil")
    answer = client.ask("GrantService.Token", cases.GrantServiceTokenRequest(grant_id=grant_id), "anna")
    return Grant(grant_id, str(answer.token))

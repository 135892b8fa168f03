"""The composition root of access-control: all wiring, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lykta_common.database import open_database
from lykta_common.health import Health
from lykta_common.messaging import open_messaging
from lykta_common.outbox import Outbox
from lykta_common.rpc import serve
from lykta_common.runtime import Platform, ServiceSpec
from lykta_common.signing import Signer
from lykta_common.timekeeping import Timekeeper

from lykta_access_control.access import Access
from lykta_access_control.config import Settings
from lykta_access_control.grpc_server import ALLOWED, SERVICES, UseCases, add_servicers
from lykta_access_control.people import People, Provider, open_people
from lykta_access_control.policy import Policies
from lykta_access_control.store.change import Store
from lykta_access_control.store.projection import Projection
from lykta_access_control.store.relay import OrderRelay
from lykta_access_control.store.tables import outbox
from lykta_access_control.telemetry import AccessMetrics
from lykta_access_control.tokens import GrantTokens
from lykta_access_control.usecases.authorize import Authorize
from lykta_access_control.usecases.cases import Cases
from lykta_access_control.usecases.directory import Directory
from lykta_access_control.usecases.grants import Grants
from lykta_access_control.usecases.mandates import Mandates

MIGRATIONS = Path(__file__).parent / "store" / "migrations"


@asynccontextmanager
async def open_service(settings: Settings, platform: Platform) -> AsyncIterator[Health]:
    """Run the service for the block; it answers without NATS, and publishes when NATS is there."""
    operators = frozenset(settings.platform_operators)
    stand_in = settings.profile == "development"
    provider = Provider(settings.oidc_issuer, settings.oidc_audience, operators, stand_in)
    orders_signer = Signer.from_file(settings.mandate_signing_key_file)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.database_url, MIGRATIONS))
        opened = open_messaging(settings, platform.telemetry, wait=False, metrics=platform.metrics)
        messaging = await stack.enter_async_context(opened)
        metrics = AccessMetrics(platform.metrics, platform.clock)
        people = await stack.enter_async_context(open_people(provider, settings.oidc_ca_file, platform.clock))
        events = Outbox(database, messaging, outbox, metrics.outbox_pending)
        projection = Projection(database, platform.clock)
        store = Store(database, events, projection, platform.clock, f"/lykta/access-control/{settings.replica}")
        relay = OrderRelay(database, messaging, orders_signer.verifier())
        store.on_commit(relay.wake)
        await projection.refresh()
        use_cases = _use_cases(settings, platform, people, store, orders_signer, metrics)
        health = Health({"database": database.ping, "view": projection.ping, "clock": Timekeeper(messaging).check})
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [
            tasks.create_task(events.run(), name="outbox"),
            tasks.create_task(relay.run(), name="orders"),
            tasks.create_task(projection.follow(), name="view"),
            tasks.create_task(metrics.keep_looking(store), name="metrics"),
        ]
        for task in running:
            stack.callback(task.cancel)
        server = serve(
            settings, platform.telemetry, health, ALLOWED, lambda server: add_servicers(server, use_cases), SERVICES
        )
        await stack.enter_async_context(server)
        yield health


def _use_cases(
    settings: Settings, platform: Platform, people: People, store: Store, signer: Signer, metrics: AccessMetrics
) -> UseCases:
    clock = platform.clock
    access = Access(people, store, Policies.load().permits, clock)
    tokens = GrantTokens(Signer.from_file(settings.grant_signing_key_file))
    return UseCases(
        Authorize(access, clock, metrics.decided),
        Directory(access, store),
        Mandates(access, store, signer, clock),
        Cases(access, store, clock),
        Grants(access, store, tokens, clock),
    )


SERVICE = ServiceSpec("access-control", Settings, open_service)

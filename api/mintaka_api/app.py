"""The application: its components, startup and shutdown.

Startup does not wait for the database or the cluster: migrations are retried until the database answers, the mirror until
the cluster does, and /readyz reports what is still wrong.

The caller attaches what runs the flows: a cluster (`kubernetes_services`), this machine (`local.attached`), or nothing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import FastAPI

from mintaka_api import problems
from mintaka_api.background_tasks import BackgroundTask, Part, supervised
from mintaka_api.maintenance import Maintenance
from mintaka_api.metrics import Metrics
from mintaka_api.permissions import AllowAnonymous, require_permissions
from mintaka_api.request_bodies import HeldBodies
from mintaka_api.request_logging import RequestLogging
from mintaka_api.routes import ROUTERS
from mintaka_api.services import Services
from mintaka_api.zombie_detection import ZombieDetection
from mintaka_controller.schema_validation import SchemaValidator
from mintaka_history import database_urls
from mintaka_history.database import Database, DatabaseAway
from mintaka_history.migrating import migrate
from mintaka_history.queries.names import Names
from mintaka_history.schema_revisions import SchemaNotUsable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from mintaka_api.permissions import Authenticator, Authorizer
    from mintaka_api.settings import Settings

logger = logging.getLogger("mintaka.api")
_LONGEST_WAIT_SECONDS = 5.0


#: Adds what runs the flows to the services, until the end of the block; its background tasks start once the schema exists.
type Attach = Callable[[Services, Settings], AbstractAsyncContextManager[Sequence[BackgroundTask]]]


def create_app(
    settings: Settings, *, attach: Attach | None = None, authenticator: Authenticator | None = None, authorizer: Authorizer | None = None
) -> FastAPI:
    """Create the application for `settings`; it opens no connection before it starts. Without `attach` it serves the database alone.

    Raises:
        InvalidDatabaseUrl: the database's URL cannot be used.
    """
    database_urls.parse(settings.database_url)
    metrics = Metrics()
    everyone = AllowAnonymous()
    app = FastAPI(
        title="Mintaka",
        version="v1",
        lifespan=_lifespan(settings, metrics, attach),
        openapi_url=None,
    )
    app.state.authenticator = authenticator or everyone
    app.state.authorizer = authorizer or everyone
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    require_permissions(app.routes)
    problems.install(app)
    app.add_middleware(HeldBodies)
    app.add_middleware(RequestLogging, metrics=metrics)
    return app


def _lifespan(settings: Settings, metrics: Metrics, attach: Attach | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(
            settings.database_url,
            password=settings.database_password,
            pooler=settings.database_pooler,
            write_connections=settings.write_connections,
            read_connections=settings.read_connections,
        )
        names = Names()
        database.forget.append(names.forget)
        services = app.state.services = Services(database, names, metrics, SchemaValidator(), retention=settings.retention)
        async with AsyncExitStack() as stack:
            stack.callback(database.dispose)
            stack.push_async_callback(services.validator.close)
            attached = await stack.enter_async_context(attach(services, settings)) if attach else ()
            tried = asyncio.Event()
            tasks = _background_tasks(services, settings, tried, attached)
            services.parts = [task.part for task in tasks]
            await stack.enter_async_context(supervised(tasks, metrics))
            await tried.wait()
            yield

    return lifespan


def _background_tasks(
    services: Services, settings: Settings, tried: asyncio.Event, attached: Sequence[BackgroundTask]
) -> list[BackgroundTask]:
    """Create the background tasks: the migrations, which set `tried` after their first attempt, and the tasks that wait for them."""
    database, migrated = services.database, asyncio.Event()

    async def migrations(part: Part) -> None:
        wait = 0.2
        while not await _try_to_migrate(database, part, tried):
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        migrated.set()

    def once_migrated(task: BackgroundTask) -> BackgroundTask:
        async def run(part: Part) -> None:
            await migrated.wait()
            await task.run(part)

        return replace(task, run=run)

    zombie_detection = ZombieDetection(database, settings.silence_seconds)
    maintenance = Maintenance(database, settings.retention, services.metrics)
    waiting = [
        BackgroundTask(Part("zombie-detection"), zombie_detection.run),
        BackgroundTask(Part("maintenance"), maintenance.run),
        *attached,
    ]
    return [
        BackgroundTask(Part("migrations", required=True, problem="not migrated yet"), migrations),
        *map(once_migrated, waiting),
    ]


async def _try_to_migrate(database: Database, part: Part, tried: asyncio.Event) -> bool:
    try:
        await database.in_writer(migrate, database)
    except (DatabaseAway, SchemaNotUsable) as problem:
        if part.problem != str(problem):  # once, however often it is tried
            part.problem = str(problem)
            logger.warning("the database cannot be used yet: %s", problem)
        return False
    finally:
        tried.set()
    return True

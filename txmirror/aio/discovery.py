"""The live instances of a service, for asyncio."""

from __future__ import annotations

from random import Random
from typing import Final

from txmirror import discovery as deferring
from txmirror.aio.registry import ServiceRegistry
from txmirror.aio.running import current_loop
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable, passed
from txmirror.discovery import Where
from txmirror.interfaces import IPayloadCodec, IStrategy


class ServiceProvider(Wrapper[deferring.ServiceProvider]):
    """:class:`txmirror.discovery.ServiceProvider` for asyncio: the same parameters, but for the reactor, and the same methods.

    As an asynchronous context manager it is closed at the end.

    :param registry: a registry for asyncio.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    # More than 7 parameters: they are those of the wrapped class.

    def __init__(
        self,
        registry: ServiceRegistry[bool],
        path: str,
        *,
        pick: str | IStrategy = "round-robin",
        where: Where | None = None,
        codec: str | IPayloadCodec | None = None,
        zone: str | None = None,
        least_in_zone: int = 1,
        hold_for: float | None = None,
        wait: float = 5.0,
        down_after: int = 2,
        down_for: float = 30.0,
        random: Random | None = None,
    ) -> None:
        current_loop()
        super().__init__(
            deferring.ServiceProvider(
                registry.wrapped,
                path,
                pick=pick,
                where=where,
                codec=codec,
                zone=zone,
                least_in_zone=least_in_zone,
                hold_for=hold_for,
                wait=wait,
                down_after=down_after,
                down_for=down_for,
                random=random,
            )
        )

    async def __aenter__(self) -> ServiceProvider:  # noqa: PYI034 - Self came with Python 3.11
        return self

    __aexit__: Final = at_exit(deferring.ServiceProvider.close)

    @property
    def path(self) -> str:
        """The path of the service in the registry."""
        return self.wrapped.path

    @property
    def omitted(self) -> dict[str, str]:
        """The nodes that cannot be read or lack an address, or on which ``where`` has raised: the reason by name."""
        return self.wrapped.omitted

    instance: Final = awaitable(deferring.ServiceProvider.instance)
    instances: Final = passed(deferring.ServiceProvider.instances)
    failed: Final = passed(deferring.ServiceProvider.failed)
    succeeded: Final = passed(deferring.ServiceProvider.succeeded)
    using: Final = passed(deferring.ServiceProvider.using)
    watch: Final = passed(deferring.ServiceProvider.watch)
    unwatch: Final = passed(deferring.ServiceProvider.unwatch)
    close: Final = passed(deferring.ServiceProvider.close)

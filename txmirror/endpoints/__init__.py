"""Twisted endpoints by registry path: clients that pick a live instance, and servers that register."""

from typing import TYPE_CHECKING

from txmirror.endpoints.client_endpoint import ProviderClientEndpoint, RegistryClientEndpoint
from txmirror.endpoints.client_string import parse_client
from txmirror.endpoints.server_endpoint import RegisteringEndpoint, bind
from txmirror.endpoints.server_string import parse_server
from txmirror.endpoints.sessions import SharedSession, close_sessions

if TYPE_CHECKING:
    from txmirror.endpoints.registry_agent import RegistryAgent
else:
    # The agent is imported at its first use: a program that has only endpoints does not load twisted.web.
    def __getattr__(name: str) -> object:
        if name != "RegistryAgent":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from txmirror.endpoints.registry_agent import RegistryAgent  # noqa: PLC0415

        return RegistryAgent


__all__ = [
    "ProviderClientEndpoint",
    "RegisteringEndpoint",
    "RegistryAgent",
    "RegistryClientEndpoint",
    "SharedSession",
    "bind",
    "close_sessions",
    "parse_client",
    "parse_server",
]

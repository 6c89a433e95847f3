"""Twisted endpoints by registry path: clients that pick a live instance, and servers that register."""

from txmirror.endpoints.client_endpoint import ProviderClientEndpoint, RegistryClientEndpoint
from txmirror.endpoints.client_string import parse_client
from txmirror.endpoints.registry_agent import RegistryAgent
from txmirror.endpoints.server_endpoint import RegisteringEndpoint, bind
from txmirror.endpoints.server_string import parse_server
from txmirror.endpoints.sessions import SharedSession, close_sessions

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

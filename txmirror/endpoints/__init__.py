"""Twisted endpoints by registry path: clients that pick a live instance, and servers that register."""

from txmirror.endpoints.client_endpoint import ProviderClientEndpoint, RegistryClientEndpoint
from txmirror.endpoints.client_string import parse_client
from txmirror.endpoints.registered_port import RegisteredPort
from txmirror.endpoints.registry_agent import RegistryAgent
from txmirror.endpoints.server_endpoint import RegisteringEndpoint, bind
from txmirror.endpoints.server_string import parse_server
from txmirror.endpoints.sessions import Lease, SharedSession, close_sessions, keep_registry, lease_registry

__all__ = [
    "Lease",
    "ProviderClientEndpoint",
    "RegisteredPort",
    "RegisteringEndpoint",
    "RegistryAgent",
    "RegistryClientEndpoint",
    "SharedSession",
    "bind",
    "close_sessions",
    "keep_registry",
    "lease_registry",
    "parse_client",
    "parse_server",
]

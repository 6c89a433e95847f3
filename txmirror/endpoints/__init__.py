"""Twisted endpoints by registry path: clients that pick a live instance, and servers that register."""

from txmirror.endpoints.registry_agent import RegistryAgent
from txmirror.endpoints.sessions import Lease, SharedSession, close_sessions, keep_registry, lease_registry

__all__ = ["Lease", "RegistryAgent", "SharedSession", "close_sessions", "keep_registry", "lease_registry"]

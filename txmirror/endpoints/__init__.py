"""Twisted endpoints by registry path: clients that pick a live instance, and servers that register."""

from txmirror.endpoints.sessions import Lease, SharedSession, lease_registry

__all__ = ["Lease", "SharedSession", "lease_registry"]

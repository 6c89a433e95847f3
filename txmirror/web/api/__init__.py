"""The routes of the registered services, and the description of all routes."""

from txmirror.web.api.api import API
from txmirror.web.api.freshness import Readers
from txmirror.web.api.openapi import describe
from txmirror.web.api.routes import DAEMON, ROUTES, Parameter, Reply, Route, mount_routes

__all__ = ["API", "DAEMON", "ROUTES", "Parameter", "Readers", "Reply", "Route", "describe", "mount_routes"]

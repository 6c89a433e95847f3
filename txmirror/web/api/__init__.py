"""The routes about what is registered, and the description of all routes."""

from txmirror.web.api.api import API
from txmirror.web.api.freshness import Readers
from txmirror.web.api.openapi import describe
from txmirror.web.api.routes import ROUTES, Parameter, Reply, Route

__all__ = ["API", "ROUTES", "Parameter", "Readers", "Reply", "Route", "describe"]

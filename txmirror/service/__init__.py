"""The twistd plug-in: the command line, and the service that registers the paths named there."""

from txmirror.service.options import Options
from txmirror.service.registering import RegistrationService, makeService

__all__ = ["Options", "RegistrationService", "makeService"]

"""What twistd runs: the command line, and the service that registers what it asks for."""

from txmirror.service.options import Options
from txmirror.service.registering import RegistrationService, makeService

__all__ = ["Options", "RegistrationService", "makeService"]

"""The web application: it shows the registry by HTTP. It does not know the daemon, which adds routes of its own."""

from txmirror.web.application import Application, Handler, Mount, make_application
from txmirror.web.calls import Answer, Call, InvalidRequest, quoted

__all__ = ["Answer", "Application", "Call", "Handler", "InvalidRequest", "Mount", "make_application", "quoted"]

"""Sites: listen at an address, and decide which requests are answered."""

from txmirror.web.site.listening import CONNECTIONS, Listener, TCPPort, UNIXSocket
from txmirror.web.site.open_files import raise_open_file_limit
from txmirror.web.site.rules import AccessRules
from txmirror.web.site.site import AccessSite
from txmirror.web.site.tls import ServerTLS
from txmirror.web.site.tokens import TokenFile, read_token

__all__ = [
    "CONNECTIONS",
    "AccessRules",
    "AccessSite",
    "Listener",
    "ServerTLS",
    "TCPPort",
    "TokenFile",
    "UNIXSocket",
    "raise_open_file_limit",
    "read_token",
]

"""One client, its sessions, and their connections: Deferreds in, Deferreds out."""

from txmirror.client.client import ZooKeeperClient
from txmirror.client.limits import Limits
from txmirror.client.servers import ConnectString, Server, parse_servers

__all__ = ["ConnectString", "Limits", "Server", "ZooKeeperClient", "parse_servers"]

"""The ZooKeeper client: its sessions, their connections, and every request, with Deferreds."""

from txmirror.client.client import ZooKeeperClient
from txmirror.client.limits import Limits
from txmirror.client.sasl import DigestMD5
from txmirror.client.servers import ConnectString, Server, parse_servers
from txmirror.client.tls import TLS

__all__ = ["TLS", "ConnectString", "DigestMD5", "Limits", "Server", "ZooKeeperClient", "parse_servers"]

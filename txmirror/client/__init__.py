"""The ZooKeeper client: its sessions, their connections, and every request, with Deferreds."""

from txmirror.client.client import ZooKeeperClient
from txmirror.client.connection.endpoints import TLS
from txmirror.client.connection.sasl import DigestMD5
from txmirror.client.connection.settings import ConnectString, Limits, Server, parse_servers

__all__ = ["TLS", "ConnectString", "DigestMD5", "Limits", "Server", "ZooKeeperClient", "parse_servers"]

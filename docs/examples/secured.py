"""Users, passwords and access control lists.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import Mirror, ServiceRegistry, ZooKeeperClient
from txmirror.client import TLS, DigestMD5
from txmirror.errors import NoAuthException
from txmirror.recipes import Lock
from txmirror.types import ACL, Permission, digest_acl

PASSWORD = "secret"  # noqa: S105 - in a program of your own, read it from a file


def connect_with_tls() -> Mirror:
    """Encrypt the connection, and show a certificate of our own."""
    tls = TLS(authority="ca.pem", certificate="client.pem", key="client-key.pem")
    return Mirror(client=ZooKeeperClient("zk1:2281,zk2:2281,zk3:2281", tls=tls))


def connect_with_sasl(password: str) -> Mirror:
    """Authenticate with DIGEST-MD5."""
    return Mirror(client=ZooKeeperClient("zk1:2181,zk2:2181,zk3:2181", sasl=DigestMD5("app", password)))


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    mirror, stranger = Mirror(servers), Mirror(servers)
    await mirror.connect()
    await mirror.add_auth("digest", f"app:{PASSWORD}".encode())

    # Everything for us, and nothing for others.
    await mirror.get("/private").create(b"42", acl=[digest_acl("app", PASSWORD)])
    # Everything for us; others may read.
    public = [digest_acl("app", PASSWORD), ACL(Permission.READ, "world", "anyone")]
    await mirror.get("/public").create(b"42", acl=public)

    print("others read /public:", (await stranger.get("/public").value())[0].decode())
    for attempt in (stranger.get("/private").value, lambda: stranger.get("/public").set(b"43")):
        try:
            await attempt()
        except NoAuthException as error:
            print("refused:", error)

    # A registry whose nodes only its user may change; a lock that only its user may take.
    registry = ServiceRegistry(servers, username="app", password=PASSWORD)
    await registry.set_node("/services/web/host1:80")
    async with Lock(mirror, "/locks/report", acl=[digest_acl("app", PASSWORD)]):
        try:
            await Lock(stranger, "/locks/report").acquire()
        except NoAuthException as error:
            print("refused:", error)
    try:
        await stranger.get("/services/web/host1:80").set(b"")
    except NoAuthException as error:
        print("refused:", error)

    await registry.stop()
    await mirror.close()
    await stranger.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])

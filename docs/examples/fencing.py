"""A lock with fencing tokens: a holder that is late cannot write over its successor.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sqlite3
import sys

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txmirror import ZooKeeperClient
from txmirror.recipes import Lock


class Reports:
    """The resource behind the lock: a table that refuses a token smaller than one that it has seen."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:")
        self._database.execute("CREATE TABLE report (text TEXT, token INTEGER)")
        self._database.execute("INSERT INTO report VALUES ('', 0)")

    def write(self, text: str, token: int) -> bool:
        """Replace the report. Return False if somebody with a larger token was here before."""
        with self._database:
            done = self._database.execute(
                "UPDATE report SET text = ?, token = ? WHERE token <= ?", (text, token, token)
            )
        return done.rowcount == 1


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    reports = Reports()
    here, there = ZooKeeperClient(servers), ZooKeeperClient(servers)
    await here.connect()
    await there.connect()

    mine = Lock(here, "/locks/report", name="here")
    await mine.acquire()
    token = mine.token
    mine.lost.addCallback(lambda _: print("here: the lock is lost, stop now"))
    print("here writes:", reports.write("from here", token))

    # Somebody deletes our node, so that we lose the lock; in production, our process may have stopped for too long.
    (node,) = await there.get_children("/locks/report")
    await there.delete(f"/locks/report/{node}")

    async with Lock(there, "/locks/report", name="there") as theirs:
        print("there writes:", reports.write("from there", theirs.token))
        print("here writes late:", reports.write("from here, late", token))

    await mine.release()
    await here.close()
    await there.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])

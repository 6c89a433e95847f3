"""Print the workers, join them, and count the programs that have joined. Python 2, on txzookeeper."""

import sys

import zookeeper
from twisted.internet import defer, reactor
from txzookeeper import ZookeeperClient
from txzookeeper.utils import retry_change


@defer.inlineCallbacks
def work(servers):
    client = ZookeeperClient(servers, 5000)
    yield client.connect()
    for path in ("/workers", "/workers"):
        try:
            yield client.create(path)
        except zookeeper.NodeExistsException, error:
            print "nothing to create:", error
    names, joined = client.get_children_and_watch("/workers")
    print "workers:", (yield names)
    path = yield client.create("/workers/w-", "10.0.0.1", flags=zookeeper.EPHEMERAL | zookeeper.SEQUENCE)
    print "joined as", path
    event = yield joined
    print event.type_name, "at", event.path
    for _ in range(2):
        yield retry_change(client, "/joined", lambda content, stat: str(int(content or "0") + 1))
    content, stat = yield client.get("/joined")
    print "joined %s times, version %d" % (content, stat["version"])
    yield client.close()


@defer.inlineCallbacks
def main():
    try:
        yield work(sys.argv[1])
    finally:
        reactor.stop()


reactor.callWhenRunning(main)
reactor.run()

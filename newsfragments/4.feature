The in-memory server supports all client operations of ZooKeeper 3.8.0: transactions, reads of many nodes at once, container nodes, TTL
nodes (``ttl_nodes=True``), persistent watches, and the four-letter words that tools use. ``version="3.4"`` and ``version="3.9"`` imitate older
and newer versions. Tests can delay, refuse or lose the next request of one kind, or its reply; drop or stall single connections, in each
direction; expire sessions; wipe the data or roll it back; make the server lose its quorum; and pass a clock to it.
``EmbeddedEnsemble`` has several servers on one tree, and each of them can lag.
``python -m txmirror.embedded`` and ``twistd -n txmirror embedded`` run the in-memory server alone, for clients in any language.
``txmirror.testing.World`` is a ZooKeeper in memory, with one server or several, for a test of your own program. It has no sockets, the
test controls the time, and it fails if the program leaves timers or connections behind.
``txmirror.testing.EmbeddedServerMixin`` runs a server on loopback for a test under trial, ``txmirror.testing.ServerProcess`` runs one in a
separate process, and ``txmirror[pytest]`` has the fixtures ``zookeeper_world`` and ``zookeeper_server``.

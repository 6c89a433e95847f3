The first version of txmirror. ``Mirror`` and ``Node`` keep ZooKeeper nodes as live objects in a Twisted program, a ``Registration`` keeps a
service registered despite failures, and ``twistd txmirror`` does this for any program. They use a ZooKeeper client in pure Twisted. For
tests and demonstrations there is an in-memory server that speaks the real protocol.

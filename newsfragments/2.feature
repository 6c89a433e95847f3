A first txmirror: ``Mirror`` and ``Node`` keep ZooKeeper nodes as live objects in a Twisted program, a ``Registration`` keeps a service registered through everything, and ``twistd txmirror`` does so for a program of any kind.
Underneath are a ZooKeeper client in pure Twisted and, for tests and demos, an in-memory server that speaks the real protocol.

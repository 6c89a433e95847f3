A first txmirror: ``Mirror`` and ``Node`` keep ZooKeeper nodes as live objects in a Twisted program, a registry on them registers services and finds those of others, and ``twistd txmirror`` registers and checks a program of any kind.
Underneath are a ZooKeeper client in pure Twisted and, for tests and demos, an in-memory server that speaks the real protocol.

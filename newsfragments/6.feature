``txmirror.registry.ServiceRegistry`` registers services and keeps them registered, finds other services and reports their changes,
provides locks, and answers from memory and from a cache file while ZooKeeper is unavailable. Its API is that of nd_service_registry, with
Deferreds. It writes payloads in the format of nd_service_registry or of zc.zk, or as plain text.
``txmirror.recipes`` has ``Lock``, ``ReadLock``, ``WriteLock``, ``Semaphore`` and ``Election``, for any client. They are fair, and have time limits, a ``lost``
Deferred that fires in time, and fencing tokens. They and kazoo's recipes on the same path exclude one another.
The ``txmirror`` command shows nodes (``get``, ``ls``, ``tree``, ``services``, ``watch``), changes them (``set``, ``create``, ``delete``), and runs programs
while it holds a lock (``lock``) or registers a service (``register``).

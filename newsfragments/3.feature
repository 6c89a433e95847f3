The client executes several writes atomically (``client.transaction()``), reads many nodes in one request (``get_many``,
``get_children_many``), creates container nodes and TTL nodes, returns a new node's stat (``create_and_stat``), and reads the session's
ephemeral nodes, the number of a node's descendants, and its own identities.
``add_watch`` sets a persistent watch on a node or on a whole subtree. With ``create(protect=True)`` the client finds a node again after a lost
reply, by a GUID in its name. ``leave()`` and ``ZooKeeperClient(session=...)`` pass a session to another client.
The client supports TLS (``txmirror[tls]``), SASL DIGEST-MD5 (``txmirror[sasl]``) and read-only servers, reads and changes the ensemble's
configuration, reports which operations its server supports, and has metrics (``metrics=``). Requests in flight are bounded.
``txmirror.testing.FaultProxy`` stands between a client and a real server. It cuts, stalls, splits and drops traffic as a test requests.

"""Single servers of an ensemble: each is asked by itself, without a session, and within a limited time."""

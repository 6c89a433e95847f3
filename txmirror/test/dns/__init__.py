"""The DNS server."""

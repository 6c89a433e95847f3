"""One connection to one server: from the address to the last byte. It knows nothing of sessions."""

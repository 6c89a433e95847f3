"""The embedded server, on a reactor in memory."""

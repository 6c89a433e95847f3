"""Twisted endpoints by registry path: clients that pick a live instance, and servers that register."""

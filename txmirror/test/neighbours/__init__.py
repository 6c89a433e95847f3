"""Tests with other projects' programs, which read the daemon's data, or write data that it reads."""

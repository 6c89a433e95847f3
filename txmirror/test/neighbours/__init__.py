"""Tests with other projects' programs, which read what the daemon writes, or write what it reads."""

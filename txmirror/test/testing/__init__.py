"""Tests of the test support for users."""

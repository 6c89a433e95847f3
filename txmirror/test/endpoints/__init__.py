"""Tests of the package endpoints."""

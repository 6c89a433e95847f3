"""Tests of the package aio."""

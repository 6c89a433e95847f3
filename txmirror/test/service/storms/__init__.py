"""Storms with daemons: ``python -m txmirror.test.service.storms --seed N`` runs them by hand."""

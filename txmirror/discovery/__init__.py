"""The live instances of a service for a program, and ways to pick one of them."""

from txmirror.discovery.picking import STRATEGIES, check_pick
from txmirror.discovery.provider import ServiceProvider

__all__ = ["STRATEGIES", "ServiceProvider", "check_pick"]

"""The live instances of a service for a program, and ways to pick one of them."""

from txmirror.discovery.judging import Where
from txmirror.discovery.omissions import Omissions
from txmirror.discovery.picking import STRATEGIES, check_pick
from txmirror.discovery.provider import ServiceProvider, check_limits

__all__ = ["STRATEGIES", "Omissions", "ServiceProvider", "Where", "check_limits", "check_pick"]

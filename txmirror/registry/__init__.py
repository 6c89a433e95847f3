"""Services that stay registered, and what stands in their nodes."""

from txmirror.registry.payload import decode_payload, encode_payload
from txmirror.registry.registration import Registration, RegistrationState

__all__ = ["Registration", "RegistrationState", "decode_payload", "encode_payload"]

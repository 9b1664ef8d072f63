"""Why a received packet is thrown away: RFC 9568 section 7.1, RFC 3768 section 7.1, and the policies beside them.

The values of ``DiscardReason`` are public names: they are the keys of the counters in ``status`` and in metrics.
"""

from __future__ import annotations

from enum import Enum


class DiscardReason(Enum):
    """One reason for each receive check: those of the decoder, then those of the admission."""

    IP_HEADER = "ip_header"
    HOP_LIMIT = "hop_limit"
    VERSION = "version"
    TYPE = "type"
    LENGTH = "length"
    ADDRESS_COUNT = "address_count"
    CHECKSUM = "checksum"
    INTERVAL = "interval"
    DESTINATION = "destination"
    SOURCE = "source"
    UNLISTED_SOURCE = "unlisted_source"
    OWN_SOURCE = "own_source"
    VRID = "vrid"
    AUTHENTICATION_TYPE = "authentication_type"
    AUTHENTICATION_DATA = "authentication_data"
    FIRST_ADDRESS = "first_address"
    OWNER = "owner"


class Discard(Exception):
    """A packet that is not (or not for us) a valid advertisement; ``str()`` says what was seen and what was expected.

    It is the only exception that leaves the decoder and the admission checks, whatever the bytes.
    """

    def __init__(self, reason: DiscardReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail

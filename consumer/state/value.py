"""Form of a state value: one byte of format version, eight of expiry, then the payload.

The expiry comes in epoch milliseconds of stream time, big-endian, so that a sweep decides without decoding.
"""

VERSION = 1
NEVER_MS = 2**63 - 1
_HEAD = VERSION.to_bytes(1, "big")
_PAYLOAD_AT = 9


def pack(expiry_ms: int, payload: bytes) -> bytes:
    """Put the payload behind its version and expiry.

    >>> unpack(pack(5, b"x"), stream_ms=5), unpack(pack(5, b"x"), stream_ms=6)
    (b'x', None)
    """
    return _HEAD + expiry_ms.to_bytes(8, "big") + payload


def expiry_of(value: bytes) -> int:
    """When a value expires. Raises ValueError for what this build doesn't know."""
    if len(value) < _PAYLOAD_AT or value[0] != VERSION:
        message = (
            f"state value has format version {value[:1].hex() or 'none'}, this build knows {_HEAD.hex()}"
        )
        raise ValueError(message)
    return int.from_bytes(value[1:_PAYLOAD_AT], "big")


def unpack(value: bytes, stream_ms: int) -> bytes | None:
    """Give the payload, or None once stream time has passed its expiry. Raises ValueError as `expiry_of`."""
    return None if expiry_of(value) < stream_ms else value[_PAYLOAD_AT:]

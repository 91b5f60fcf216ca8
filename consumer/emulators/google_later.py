"""What becomes of a request after it was taken: carried in its id, so that any emulator can tell it, any time later.

Google takes half an hour; here all is known at once. Places of records are those in the request, from 0 on.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import msgspec
from msgspec import Struct

MONTHS_MS = 50 * 86_400_000
"""So long Google knows a request, about."""
PREFIX = "PROCESSING_ERROR_REASON_"
EVENT_TOO_OLD = "EVENT_TOO_OLD"
KEPT = frozenset({"DUPLICATE_GCLID", "DUPLICATE_TRANSACTION_ID"})
"""What is found wrong because it counts already."""


class Destination(Struct, frozen=True, array_like=True):
    """One of a request's, how many of its events are for it, and the places of those found wrong, by reason."""

    account: str
    action: str
    reference: str
    records: int
    faults: dict[str, list[int]]


class Later(Struct, frozen=True, array_like=True):
    """All that is ever told of a request. The digest tells it from others like it."""

    taken_ms: int
    digest: bytes
    destinations: tuple[Destination, ...]


def request_id(body: bytes, now_ms: int, destinations: tuple[Destination, ...]) -> str:
    """An id for a request that is taken now."""
    told = msgspec.msgpack.encode(Later(now_ms, sha256(body).digest()[:12], destinations))
    return urlsafe_b64encode(zlib.compress(told)).rstrip(b"=").decode()


def read_id(text: str) -> Later | None:
    """What an id carries; None if none of ours."""
    try:
        told = zlib.decompress(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return msgspec.msgpack.decode(told, type=Later)
    except (ValueError, zlib.error, msgspec.DecodeError):
        return None


def status(later: Later) -> bytes:
    """The answer of `requestStatus:retrieve`. Numbers of 64 bits are texts."""
    return msgspec.json.encode({"requestStatusPerDestination": [_of(each) for each in later.destinations]})


def _of(destination: Destination) -> dict[str, object]:
    wrong = sum(map(len, destination.faults.values()))
    told: dict[str, object] = {
        "destination": {
            "reference": destination.reference,
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": destination.account},
            "productDestinationId": destination.action,
        },
        "requestStatus": "SUCCESS",
        "eventsIngestionStatus": {"recordCount": str(destination.records)},
    }
    if wrong:
        told["requestStatus"] = "FAILED" if wrong == destination.records else "PARTIAL_SUCCESS"
        told["errorInfo"] = {
            "errorCounts": [
                {
                    "recordCount": str(len(places)),
                    "reason": PREFIX + reason.removeprefix(PREFIX),
                    "recordIndices": places,
                }
                for reason, places in destination.faults.items()
            ]
        }
    return told

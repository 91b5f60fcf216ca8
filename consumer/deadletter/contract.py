"""The letter as a contract: its headers, what each means and when it is absent, and the document that says so.

`schemas/letter/v<n>.json` is that document, one for each version that was ever released.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from consumer.deadletter.reasons import FAULTS, REASONS, STAGES

SCHEMA = "1"
"""The version that is written. It changes when a header's meaning does; a header or a reason more is no change."""
NEVER = "never"
ONLY_DELIVERIES = "in letters of ingest"


class Header(Struct, frozen=True):
    """One header: UTF-8 text, there once or not at all."""

    name: str
    means: str
    absent: str


HEADERS = (
    Header("__connect.errors.topic", "Topic of the record that failed.", NEVER),
    Header("__connect.errors.partition", "Its partition.", NEVER),
    Header("__connect.errors.offset", "Its offset.", NEVER),
    Header("__connect.errors.stage", "Where it failed: ingest or deliver.", NEVER),
    Header(
        "__connect.errors.exception.message",
        "What went wrong, in 500 characters at most. It names paths, types and codes, no customer's data.",
        "if there is no more to say than the reason",
    ),
    Header("dlq.schema", "Version of this contract.", NEVER),
    Header("dlq.destination", "The destination, as the settings name it.", ONLY_DELIVERIES),
    Header("dlq.platform", "Its platform.", ONLY_DELIVERIES),
    Header("dlq.reason", "One of the reasons below.", NEVER),
    Header("dlq.fault", "Whose fault it is: ours, shop, platform or operator.", NEVER),
    Header(
        "dlq.error.code",
        "The platform's code; where we refused it ourselves, what is lacking or wrong.",
        "if nobody gave one",
    ),
    Header("dlq.http.status", "HTTP status of the last reply.", "if there was none"),
    Header("dlq.attempts", "How often it was sent.", "if it never was"),
    Header(
        "dlq.event.id",
        "The event id that pixel and server share.",
        "in letters of ingest, and if the conversion can't be read",
    ),
    Header(
        "dlq.payload.schema.id",
        "The registry's id of the value's schema.",
        "if the value is not in the Confluent wire format",
    ),
    Header(
        "dlq.first.at",
        "When it was first tried, in epoch milliseconds; of ingest, when it failed.",
        "if never",
    ),
    Header("dlq.last.at", "When the letter was written, in epoch milliseconds.", NEVER),
    Header(
        "dlq.truncated",
        "The letter was too large for its topic and is cut at its end: the bytes that key and value had.",
        "if key and value are whole",
    ),
    Header(
        "traceparent", "The W3C trace in which it failed.", "in letters of deliver, and if nothing is traced"
    ),
)


def document() -> bytes:
    """The contract of the version that is written, as JSON."""
    told: Mapping[str, object] = {
        "version": SCHEMA,
        "topics": "<prefix>.dlq.ingest and <prefix>.dlq.<platform>; timestamps are the broker's, of the append",
        "key": "Bytes of the record's key, untouched.",
        "value": "Bytes of the record's value, untouched: the shop's own in letters of ingest, a Conversion else.",
        "headers": HEADERS,
        "stages": STAGES,
        "faults": FAULTS,
        "reasons": tuple(REASONS.values()),
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"

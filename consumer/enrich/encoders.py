"""How conversions and endings become bytes: in Avro, by our schemas, which the registry knows by id."""

from collections.abc import Callable
from typing import NamedTuple

from consumer.codec import Encoder, load_schema
from consumer.enrich.ended import EncodeEnding
from consumer.enrich.rules import Encode
from consumer.model import Conversion, OrderEnding

OF_CONVERSIONS = (
    ("consent_ads", "consent_analytics", "consent_personalisation", "sale_opt_out", "consent_region"),
    ("shop", "country", "enriched_at", "order_only"),
    (
        *("refund_id", "corrects_event_id", "corrects_event_time", "corrects_value_minor"),
        *("corrects_refunded_minor", "corrects_tax_minor", "corrects_shipping_minor"),
    ),
    ("origin_topic", "origin_partition"),
)
"""Fields side by side that hold the same in many conversions: whatever only refunds have is empty in the others."""
OF_ENDINGS = (("topic", "partition"), ("ending", "reason"), ("currency", "paid", "at_ms"))


class Encoders(NamedTuple):
    """What enrich writes with."""

    conversion: Encode
    ending: EncodeEnding


def encoders(prefix: str, register: Callable[[str, str], int]) -> Encoders:
    """`register` puts a schema under a subject and gives its id; what it raises comes through."""

    def made(name: str) -> tuple[str, int]:
        schema = load_schema(name)
        return schema, register(f"{prefix}.{name}s-value", schema)

    conversion: Encoder[Conversion] = Encoder(*made("conversion"), OF_CONVERSIONS)
    ending: Encoder[OrderEnding] = Encoder(*made("ending"), OF_ENDINGS)
    return Encoders(conversion, ending)

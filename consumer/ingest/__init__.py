"""Record → Order | Checkout: decode, map, and hash what is personal before anything else sees it."""

from consumer.ingest.decode import Ingest
from consumer.ingest.mapping import DecodedHead

__all__ = ["DecodedHead", "Ingest"]

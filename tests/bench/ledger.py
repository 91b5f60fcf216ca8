"""The ledger: rows a second from Kafka into its file, and how long a question takes then."""

from collections.abc import Iterator
from itertools import count, islice

from msgspec.structs import replace

from consumer.clock import SystemClock
from consumer.codec import Encoder, load_schema
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion, Receipt
from tests.bench.ground import PARTITIONS, Ground, ShopGround
from tests.bench.rows import Row

ROWS_A_RECORD = 2
"""A conversion and a receipt."""
MOST_S = 300.0
DAY_MS = 86_400_000
LIMIT = "Python: an Avro record to a row, to JSON; then DuckDB's"


def ledger(ground: Ground, records: int, seed: int) -> Iterator[Row]:
    """As many conversions as there are records, each with a receipt."""
    floor = ground.shop()
    sent = floor.write(_told(floor, records, seed))
    report = floor.run(
        "ledger", timeout_s=2 * MOST_S, rows=sent, most_s=MOST_S, asked=str(seed + records // 2)
    )
    if report["rows"] != sent:
        raise RuntimeError(f"{report['rows']:,} of {sent:,} records were read in {MOST_S:.0f} s")
    of = f"{records:,} conversions, {records:,} receipts"
    memory = f"{report['rss_mb']:.0f} MB RSS"
    yield Row("ledger.rate", sent / report["clock_s"], "rows/s", of, LIMIT)
    yield Row("ledger.cpu", 1e6 * report["cpu_s"] / sent, "µs/row", memory, LIMIT)
    yield Row("ledger.why", report["why_ms"], "ms", f"median of a story, {of}", "scans of columns, no index")
    yield Row("ledger.judge", report["judge_ms"], "ms", f"one destination's account, {of}", "scans and joins")
    yield Row("ledger.file", report["bytes"] / sent, "bytes/row", f"{report['bytes'] / 1e6:.1f} MB, {of}")


def _told(floor: ShopGround, records: int, seed: int) -> Iterator[tuple[str, bytes, bytes, int]]:
    """Conversions and receipts as they would come, those of the last day."""
    prefix, store = floor.settings.topics.prefix, SchemaStore(floor.settings.registry)
    conversion, receipt = load_schema("conversion"), load_schema("receipt")
    began_ms = SystemClock().now_ms() - DAY_MS
    encode: Encoder[Conversion] = Encoder(
        conversion, store.register(f"{prefix}.conversions-value", conversion)
    )
    encode_receipt: Encoder[Receipt] = Encoder(receipt, store.register(f"{prefix}.receipts-value", receipt))
    for number in islice(count(seed), records):
        at_ms = began_ms + DAY_MS * (number - seed) // records
        event_id, order_id = f"purchase:{number}", str(number)
        told = Conversion(event_id, "purchase", at_ms, "EUR", 100 + number, at_ms, order_id=order_id)
        whole = replace(told, checkout_id=f"c{number}", identity={"email": f"{number:064x}"})
        yield f"{prefix}.conversions", order_id.encode(), encode(whole), at_ms
        place = number % PARTITIONS, number // PARTITIONS
        ended = Receipt(
            *(f"{prefix}.conversions", *place, event_id, "purchase", order_id, "meta-us", "meta"),
            outcome="delivered",
            http_status=200,
            attempts=1,
            first_attempt_at_ms=at_ms,
            settled_at_ms=at_ms,
        )
        yield f"{prefix}.receipts", event_id.encode(), encode_receipt(ended), at_ms

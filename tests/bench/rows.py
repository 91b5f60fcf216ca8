"""What was measured: rows of the table and of bench.json."""

from collections.abc import Iterable
from operator import ge, le
from pathlib import Path

from msgspec import Struct, json
from rich.console import Console
from rich.table import Table

AIMS = {
    "enrich.cpu": ("<=", 60.0),
    "enrich.unchanged_update.cpu": ("<=", 10.0),
    "deliver.100_a_request.0_ms.cpu": ("<=", 60.0),
    "restore.rate": (">=", 500_000.0),
}
_HOLDS = {"<=": le, ">=": ge}


class Row(Struct, frozen=True):
    """One number. `of` says what it is a number of, `limit` what keeps it from being better."""

    name: str
    value: float
    unit: str
    of: str
    limit: str = ""

    @property
    def aim(self) -> str:
        """What it should be, and whether it is; empty where there is no aim."""
        if self.name not in AIMS:
            return ""
        sign, aimed = AIMS[self.name]
        return f"{sign} {aimed:,.0f} {'met' if _HOLDS[sign](self.value, aimed) else 'MISSED'}"


def write(rows: Iterable[Row], file: Path) -> None:
    """Write `{name: {value, unit, of}}`."""
    told = {row.name: {"value": round(row.value, 3), "unit": row.unit, "of": row.of} for row in rows}
    file.write_bytes(json.format(json.encode(told), indent=2) + b"\n")


def show(rows: Iterable[Row], console: Console) -> None:
    """Print the table."""
    table = Table("", "value", "unit", "aim", "of", "limited by", title="capi-consumer, measured")
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(row.name, f"{row.value:,.{_digits(row.value)}f}", row.unit, row.aim, row.of, row.limit)
    console.print(table)


def _digits(value: float) -> int:
    return 0 if value >= 1000 else 1 if value >= 10 else 2

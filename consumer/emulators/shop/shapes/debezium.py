"""As Debezium's PostgreSQL connector tells changes of two plain tables. Source: Debezium 3.3, PostgreSQL connector."""

from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.shapes.written import decimal, group, iso, number, rows, text

PERSON = ("customer_id", "email", "phone", "first_name", "last_name", "gender", "date_of_birth")
PLACE = ("street", "city", "region", "postal_code", "country")
_SAID = {"GRANTED": True, "DENIED": False}


def order(of: Fields) -> dict[str, object]:
    """A row of orders."""
    currency, *newest = text(of, "currency"), *rows(of, "refunds")[-1:]
    refund: Fields = newest[0] if newest else {}
    row = {
        **_row(of),
        "id": text(of, "order_id"),
        "checkout_id": text(of, "checkout_id") or None,
        "status": text(of, "status"),
        "paid_at": number(of, "paid_at") or None,
        **{f"billing_{name}": text(group(of, "billing_address"), name) or None for name in PLACE},
        **{f"shipping_{name}": text(group(of, "shipping_address"), name) or None for name in PLACE},
        "last_refund_id": text(refund, "refund_id") or None,
        "last_refund": decimal(number(refund, "amount_minor"), currency) if refund else None,
        "last_refunded_at": iso(number(refund, "at")) or None,
    }
    return _change("orders", row, number(of, "updated_at"))


def checkout(of: Fields) -> dict[str, object]:
    """A row of checkouts."""
    row: dict[str, object] = {
        **_row(of),
        "id": text(of, "checkout_id"),
        "step": text(of, "step"),
        **{name: text(group(of, "address"), name) or None for name in PLACE},
        **{name: text(group(of, "browser"), name) for name in group(of, "browser")},
    }
    return _change("checkouts", row, number(of, "updated_at"))


def gone(table: str) -> dict[str, object]:
    """A deleted row, where the table keeps nothing of what was there before (replica identity: nothing)."""
    return {"before": None, "after": None, "source": _source(table, 0), "op": "d", "ts_ms": None}


def _row(of: Fields) -> dict[str, object]:
    currency, customer, said = text(of, "currency"), group(of, "customer"), group(of, "consent")
    return {
        "currency": currency,
        "created_at": number(of, "created_at"),
        "updated_at": number(of, "updated_at"),
        "total": decimal(number(of, "grand_total_minor"), currency),
        **{
            name: decimal(number(of, f"{name}_minor"), currency)
            for name in ("subtotal", "tax", "shipping", "discount")
        },
        "pixel_event_id": text(of, "event_id") or None,
        "shop": text(of, "shop") or None,
        **{name: text(customer, name) or None for name in PERSON},
        "consent_ads": _SAID.get(text(said, "ads")),
        "consent_analytics": _SAID.get(text(said, "analytics")),
        "consent_personalisation": _SAID.get(text(said, "personalisation")),
        "sale_opt_out": bool(said.get("sale_opt_out")),
        "consent_region": text(said, "region") or None,
        "consented_at": iso(number(said, "at")) or None,
    }


def _change(table: str, row: dict[str, object], at_ms: int) -> dict[str, object]:
    return {"before": None, "after": row, "source": _source(table, at_ms), "op": "u", "ts_ms": at_ms}


def _source(table: str, at_ms: int) -> dict[str, object]:
    return {
        "version": "3.3.1.Final",
        "connector": "postgresql",
        "name": "shop",
        "ts_ms": at_ms,
        "db": "shop",
        "schema": "public",
        "table": table,
    }

"""As WooCommerce tells it. Source: WooCommerce REST API v3, Orders; its draft orders and order attribution."""

from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.shapes.written import (
    decimal,
    digits,
    group,
    landing,
    local_iso,
    long_id,
    number,
    reached,
    rows,
    text,
)

STATUSES = {
    "PENDING": "pending",
    "PAID": "processing",
    "FULFILLED": "completed",
    "CANCELLED": "cancelled",
    "REFUNDED": "refunded",
    "PARTIALLY_REFUNDED": "processing",
}
_SAID = {"GRANTED": "yes", "DENIED": "no"}


def order(of: Fields) -> dict[str, object]:
    """An order."""
    currency, customer = text(of, "currency"), group(of, "customer")
    return {
        **_common(
            of, STATUSES.get(text(of, "status"), "on-hold"), text(of, "order_id"), text(of, "checkout_id")
        ),
        "date_paid_gmt": local_iso(number(of, "paid_at")) or None,
        "payment_method": "stripe",
        "billing": _billing(group(of, "billing_address"), customer),
        "shipping": _shipping(group(of, "shipping_address"), customer),
        "meta_data": _meta(_notes(of)),
        "refunds": [
            {"id": text(refund, "refund_id"), "total": decimal(-number(refund, "amount_minor"), currency)}
            for refund in rows(of, "refunds")
        ],
    }


def checkout(of: Fields) -> dict[str, object]:
    """A draft order, filled in as far as the visitor came."""
    step, browser, customer = text(of, "step"), group(of, "browser"), group(of, "customer")
    status = "pending" if step == "COMPLETED" else "checkout-draft"
    made = _common(of, status, text(of, "checkout_id"), text(of, "checkout_id"))
    return {
        **made,
        "customer_ip_address": text(browser, "ip"),
        "customer_user_agent": text(browser, "user_agent"),
        "payment_method": "stripe" if reached(step, "PAYMENT") else "",
        "billing": _billing({}, customer),
        "shipping": _shipping(group(of, "address"), customer),
        "shipping_lines": made["shipping_lines"] if reached(step, "SHIPPING") else [],
        "meta_data": _meta(_notes(of) | _visit(browser)),
    }


def _common(of: Fields, status: str, number_: str, key: str) -> dict[str, object]:
    currency = text(of, "currency")
    return {
        "id": long_id(number_),
        "number": number_,
        "order_key": key,
        "status": status,
        "currency": currency,
        "date_created_gmt": local_iso(number(of, "created_at")),
        "date_modified_gmt": local_iso(number(of, "updated_at")),
        "total": decimal(number(of, "grand_total_minor"), currency),
        "total_tax": decimal(number(of, "tax_minor"), currency),
        "shipping_total": decimal(number(of, "shipping_minor"), currency),
        "discount_total": decimal(number(of, "discount_minor"), currency),
        "customer_id": long_id(customer) if (customer := text(group(of, "customer"), "customer_id")) else 0,
        "line_items": [_line(item, currency) for item in rows(of, "items")],
        "shipping_lines": [
            {"id": 1, "method_id": "flat_rate", "total": decimal(number(of, "shipping_minor"), currency)}
        ],
    }


def _line(item: Fields, currency: str) -> dict[str, object]:
    price, quantity = number(item, "price_minor"), number(item, "quantity")
    return {
        "id": long_id(text(item, "sku")),
        "name": text(item, "name"),
        "product_id": long_id(text(item, "sku")),
        "variation_id": 0,
        "quantity": quantity,
        "sku": text(item, "sku"),
        "price": price / 10.0 ** digits(currency),
        "subtotal": decimal(price * quantity, currency),
        "total": decimal(price * quantity, currency),
    }


def _billing(address: Fields, customer: Fields) -> dict[str, object]:
    return {**_shipping(address, customer), "email": text(customer, "email")}


def _shipping(address: Fields, customer: Fields) -> dict[str, object]:
    return {
        "first_name": text(customer, "first_name"),
        "last_name": text(customer, "last_name"),
        "address_1": text(address, "street"),
        "city": text(address, "city"),
        "state": text(address, "region"),
        "postcode": text(address, "postal_code"),
        "country": text(address, "country"),
        "phone": text(customer, "phone"),
    }


def _notes(of: Fields) -> dict[str, str]:
    said = group(of, "consent")
    return {
        "_event_id": text(of, "event_id"),
        "_market": text(of, "shop"),
        **{
            f"_consent_{name}": _SAID.get(text(said, name), "")
            for name in ("ads", "analytics", "personalisation")
        },
        "_sale_opt_out": "yes" if said.get("sale_opt_out") else "no",
        "_consent_region": text(said, "region"),
        "_consent_at": f"{at}Z" if (at := local_iso(number(said, "at"))) else "",
    }


def _visit(browser: Fields) -> dict[str, str]:
    names = (
        "fbp",
        "fbc",
        "ttp",
        "epik",
        "rdt_uuid",
        "li_fat_id",
        "ga_client_id",
        "ga_session_id",
        "page_url",
    )
    return {
        **{f"_{name}": text(browser, name) for name in names},
        "_scid": text(browser, "sc_cookie1"),
        "_wc_order_attribution_session_entry": f"https://shop.example/{landing(browser)}",
        "_wc_order_attribution_referrer": text(browser, "referrer_url"),
    }


def _meta(told: dict[str, str]) -> list[dict[str, object]]:
    return [
        {"id": place, "key": key, "value": value} for place, (key, value) in enumerate(told.items()) if value
    ]

"""As Shopify's REST API and webhooks tell it. Source: Shopify Admin REST API 2025-10, Order and Abandoned checkouts."""

from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.shapes.written import (
    decimal,
    group,
    iso,
    landing,
    long_id,
    number,
    reached,
    rows,
    text,
)

FINANCIAL = {
    "PENDING": "pending",
    "PAID": "paid",
    "FULFILLED": "paid",
    "PARTIALLY_REFUNDED": "partially_refunded",
    "REFUNDED": "refunded",
}
_SAID = {"GRANTED": "granted", "DENIED": "denied"}


def order(of: Fields) -> dict[str, object]:
    """An order."""
    currency, status = text(of, "currency"), text(of, "status")
    cancelled, paid = status == "CANCELLED", number(of, "paid_at") != 0
    items = [_line(item, currency) for item in rows(of, "items")]
    customer = group(of, "customer")
    return {
        "id": long_id(text(of, "order_id")),
        "name": text(of, "order_id"),
        "created_at": iso(number(of, "created_at")),
        "updated_at": iso(number(of, "updated_at")),
        "processed_at": iso(number(of, "paid_at") or number(of, "created_at")),
        "cancelled_at": iso(number(of, "updated_at")) if cancelled else None,
        "checkout_token": text(of, "checkout_id") or None,
        "source_name": "web",
        "currency": currency,
        "presentment_currency": currency,
        "financial_status": ("paid" if paid else "voided")
        if cancelled
        else FINANCIAL.get(status, "authorized"),
        "fulfillment_status": "fulfilled" if status == "FULFILLED" else None,
        "email": text(customer, "email") or None,
        "phone": text(customer, "phone") or None,
        "total_price_set": _set(number(of, "grand_total_minor"), currency),
        "subtotal_price_set": _set(number(of, "subtotal_minor"), currency),
        "total_tax_set": _set(number(of, "tax_minor"), currency),
        "total_discounts_set": _set(number(of, "discount_minor"), currency),
        "total_shipping_price_set": _set(number(of, "shipping_minor"), currency),
        "note_attributes": _notes(of),
        "line_items": items,
        "customer": _customer(customer),
        "billing_address": _address(group(of, "billing_address"), customer),
        "shipping_address": _address(group(of, "shipping_address"), customer),
        "refunds": [_refund(refund, currency) for refund in rows(of, "refunds")],
    }


def checkout(of: Fields) -> dict[str, object]:
    """A checkout, filled in as far as the visitor came."""
    currency, step, browser = text(of, "currency"), text(of, "step"), group(of, "browser")
    customer, address = group(of, "customer"), group(of, "address")
    shipping = {
        "code": "standard",
        "title": "Standard",
        "price": decimal(number(of, "shipping_minor"), currency),
    }
    return {
        "id": long_id(text(of, "checkout_id")),
        "token": text(of, "checkout_id"),
        "created_at": iso(number(of, "created_at")),
        "updated_at": iso(number(of, "updated_at")),
        "completed_at": iso(number(of, "updated_at")) if step == "COMPLETED" else None,
        "currency": currency,
        "presentment_currency": currency,
        "total_price": decimal(number(of, "grand_total_minor"), currency),
        "subtotal_price": decimal(number(of, "subtotal_minor"), currency),
        "total_tax": decimal(number(of, "tax_minor"), currency),
        "total_discounts": decimal(number(of, "discount_minor"), currency),
        "shipping_line": shipping if reached(step, "SHIPPING") else None,
        "gateway": "shopify_payments" if reached(step, "PAYMENT") else None,
        "email": text(customer, "email") or None,
        "phone": text(customer, "phone") or None,
        "landing_site": f"/{landing(browser)}",
        "referring_site": text(browser, "referrer_url"),
        "note_attributes": [*_notes(of), *_visit(browser)],
        "line_items": [
            {
                "sku": text(item, "sku"),
                "title": text(item, "name"),
                "variant_title": text(item, "variant") or None,
                "vendor": text(item, "brand") or None,
                "quantity": number(item, "quantity"),
                "price": decimal(number(item, "price_minor"), currency),
            }
            for item in rows(of, "items")
        ],
        "customer": _customer(customer),
        "shipping_address": _address(address, customer),
    }


def _set(minor: int, currency: str) -> dict[str, object]:
    money = {"amount": decimal(minor, currency), "currency_code": currency}
    return {"shop_money": money, "presentment_money": money}


def _line(item: Fields, currency: str) -> dict[str, object]:
    return {
        "id": long_id(text(item, "sku")),
        "sku": text(item, "sku"),
        "title": text(item, "name"),
        "variant_title": text(item, "variant") or None,
        "vendor": text(item, "brand") or None,
        "quantity": number(item, "quantity"),
        "price_set": _set(number(item, "price_minor"), currency),
    }


def _refund(refund: Fields, currency: str) -> dict[str, object]:
    amount = decimal(number(refund, "amount_minor"), currency)
    lines = [
        {"quantity": number(item, "quantity"), "line_item": _line(item, currency)}
        for item in rows(refund, "items")
    ]
    transaction = {"id": long_id(text(refund, "refund_id")), "kind": "refund", "currency": currency}
    return {
        "id": text(refund, "refund_id"),
        "created_at": iso(number(refund, "at")),
        "refund_line_items": lines,
        "transactions": [
            {**transaction, "status": "failure", "amount": amount},
            {**transaction, "status": "success", "amount": amount},
        ],
    }


def _customer(customer: Fields) -> dict[str, object] | None:
    if not customer:
        return None
    return {
        "id": long_id(text(customer, "customer_id")),
        **{name: text(customer, name) or None for name in ("email", "phone", "first_name", "last_name")},
    }


def _address(address: Fields, customer: Fields) -> dict[str, object] | None:
    if not address:
        return None
    return {
        "first_name": text(customer, "first_name") or None,
        "last_name": text(customer, "last_name") or None,
        "address1": text(address, "street") or None,
        "city": text(address, "city") or None,
        "province_code": text(address, "region") or None,
        "zip": text(address, "postal_code") or None,
        "country_code": text(address, "country") or None,
    }


def _notes(of: Fields) -> list[dict[str, object]]:
    said = group(of, "consent")
    told = {
        "event_id": text(of, "event_id"),
        "market": text(of, "shop"),
        **{
            f"consent_{name}": _SAID.get(text(said, name), "")
            for name in ("ads", "analytics", "personalisation")
        },
        "sale_opt_out": "true" if said.get("sale_opt_out") else "false",
        "consent_region": text(said, "region"),
        "consent_at": iso(number(said, "at")),
    }
    return [{"name": name, "value": value} for name, value in told.items() if value]


def _visit(browser: Fields) -> list[dict[str, object]]:
    names = {
        "_fbp": "fbp",
        "_fbc": "fbc",
        "_ttp": "ttp",
        "_scid": "sc_cookie1",
        "_epik": "epik",
        "_rdt_uuid": "rdt_uuid",
        "li_fat_id": "li_fat_id",
        "ga_client_id": "ga_client_id",
        "ga_session_id": "ga_session_id",
        "client_ip": "ip",
        "client_user_agent": "user_agent",
        "page_url": "page_url",
    }
    return [{"name": name, "value": value} for name, of in names.items() if (value := text(browser, of))]

"""As Segment's track calls tell it. Source: Segment Spec, V2 E-Commerce Events; consent in the context."""

from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.shapes.written import digits, group, iso, landing, number, rows, text

ORDER_EVENTS = {
    "PAID": "Order Completed",
    "REFUNDED": "Order Refunded",
    "PARTIALLY_REFUNDED": "Order Refunded",
    "CANCELLED": "Order Cancelled",
}
STEP_EVENTS = {
    "STARTED": "Checkout Started",
    "PAYMENT": "Payment Info Entered",
    "COMPLETED": "Order Completed",
}
_SAID = {"GRANTED": True, "DENIED": False}
_PURPOSES = {"ads": "Advertising", "analytics": "Analytics", "personalisation": "Functional"}
_COOKIES = (
    "fbp",
    "fbc",
    "ga_client_id",
    "ga_session_id",
    "ttp",
    "sc_cookie1",
    "rdt_uuid",
    "epik",
    "li_fat_id",
)


def order(of: Fields) -> dict[str, object]:
    """What happened to an order."""
    currency, event = text(of, "currency"), ORDER_EVENTS.get(text(of, "status"), "Order Updated")
    address = group(of, "billing_address") or group(of, "shipping_address")
    return {
        **_call(of, event, number(of, "updated_at"), text(of, "order_id")),
        "context": _context(of, address, {}),
        "properties": {
            **_properties(of),
            "order_id": text(of, "order_id"),
            "created_at": iso(number(of, "created_at")),
            "paid_at": iso(number(of, "paid_at")) or None,
            "refunds": [
                {
                    "refund_id": text(refund, "refund_id"),
                    "refunded_at": iso(number(refund, "at")),
                    "total": _double(number(refund, "amount_minor"), currency),
                }
                for refund in rows(of, "refunds")
            ],
        },
    }


def checkout(of: Fields) -> dict[str, object]:
    """A step of a checkout."""
    browser, event = group(of, "browser"), STEP_EVENTS.get(text(of, "step"), "Checkout Step Completed")
    return {
        **_call(of, event, number(of, "updated_at"), text(of, "checkout_id")),
        "context": _context(of, group(of, "address"), browser),
        "properties": {
            **_properties(of),
            "started_at": iso(number(of, "created_at")) or None,
            **{name: text(browser, name) or None for name in _COOKIES},
        },
    }


def _call(of: Fields, event: str, at_ms: int, about: str) -> dict[str, object]:
    return {
        "type": "track",
        "event": event,
        "messageId": f"{about}-{at_ms}",
        "userId": text(group(of, "customer"), "customer_id") or None,
        "anonymousId": f"anonymous-{text(of, 'checkout_id')}",
        "timestamp": iso(at_ms),
        "receivedAt": iso(at_ms),
    }


def _context(of: Fields, address: Fields, browser: Fields) -> dict[str, object]:
    customer, said = group(of, "customer"), group(of, "consent")
    told = {
        name: _SAID[text(said, purpose)]
        for purpose, name in _PURPOSES.items()
        if text(said, purpose) in _SAID
    }
    return {
        "ip": text(browser, "ip") or None,
        "userAgent": text(browser, "user_agent") or None,
        "page": {
            "url": text(browser, "page_url") or None,
            "referrer": text(browser, "referrer_url") or None,
            "search": landing(browser) or None,
        },
        "traits": {
            "email": text(customer, "email") or None,
            "phone": text(customer, "phone") or None,
            "firstName": text(customer, "first_name") or None,
            "lastName": text(customer, "last_name") or None,
            "gender": text(customer, "gender") or None,
            "birthday": text(customer, "date_of_birth") or None,
            "address": {
                "street": text(address, "street") or None,
                "city": text(address, "city") or None,
                "state": text(address, "region") or None,
                "postalCode": text(address, "postal_code") or None,
                "country": text(address, "country") or None,
            },
        },
        "consent": {"categoryPreferences": told},
    }


def _properties(of: Fields) -> dict[str, object]:
    currency, said = text(of, "currency"), group(of, "consent")
    names = {
        "total": "grand_total",
        "subtotal": "subtotal",
        "tax": "tax",
        "shipping": "shipping",
        "discount": "discount",
    }
    return {
        "checkout_id": text(of, "checkout_id") or None,
        "affiliation": text(of, "shop") or None,
        "event_id": text(of, "event_id") or None,
        "currency": currency,
        **{theirs: _double(number(of, f"{ours}_minor"), currency) for theirs, ours in names.items()},
        "sale_opt_out": bool(said.get("sale_opt_out")),
        "consent_region": text(said, "region") or None,
        "consented_at": iso(number(said, "at")) or None,
        "products": [
            {
                "product_id": text(item, "sku"),
                "sku": text(item, "sku"),
                **{name: text(item, name) or None for name in ("name", "brand", "category", "variant")},
                "quantity": number(item, "quantity"),
                "price": _double(number(item, "price_minor"), currency),
            }
            for item in rows(of, "items")
        ],
    }


def _double(minor: int, currency: str) -> float:
    return minor / 10.0 ** digits(currency)

"""As commercetools' HTTP API tells it. Source: commercetools Composable Commerce, Order, Cart, Payment."""

from consumer.emulators.shop.records import Fields
from consumer.emulators.shop.shapes.written import digits, group, iso, number, reached, rows, text

PAYMENT_STATES = {"PENDING": "Pending", "REFUNDED": "CreditOwed"}
_SAID = {"GRANTED": True, "DENIED": False}


def order(of: Fields) -> dict[str, object]:
    """An order."""
    status, paid_ms = text(of, "status"), number(of, "paid_at")
    charge = {
        "id": f"{text(of, 'order_id')}-charge",
        "type": "Charge",
        "state": "Success",
        "timestamp": iso(paid_ms),
        "amount": _money(of, "grand_total_minor"),
    }
    refunds = [
        {
            "id": text(refund, "refund_id"),
            "type": "Refund",
            "state": "Success",
            "timestamp": iso(number(refund, "at")),
            "amount": _amount(number(refund, "amount_minor"), text(of, "currency")),
        }
        for refund in rows(of, "refunds")
    ]
    payment = {"id": "payment", "transactions": [*([charge] if paid_ms else []), *refunds]}
    cart = {"typeId": "cart", "id": text(of, "checkout_id")} if of.get("checkout_id") else None
    return {
        **_common(of),
        "id": text(of, "order_id"),
        "orderNumber": text(of, "order_id"),
        "orderState": {"CANCELLED": "Cancelled", "FULFILLED": "Complete"}.get(status, "Open"),
        "paymentState": PAYMENT_STATES.get(status, "Paid"),
        "shipmentState": "Shipped" if status == "FULFILLED" else None,
        "cart": cart,
        "billingAddress": _address(group(of, "billing_address"), group(of, "customer")),
        "shippingAddress": _address(group(of, "shipping_address"), group(of, "customer")),
        "paymentInfo": {"payments": [{"typeId": "payment", "id": "payment", "obj": payment}]},
        "custom": {"fields": _custom(of)},
    }


def checkout(of: Fields) -> dict[str, object]:
    """A cart, filled in as far as the visitor came."""
    step, made = text(of, "step"), _common(of)
    payments = {"payments": [{"typeId": "payment", "id": "payment", "obj": None}]}
    return {
        **made,
        "id": text(of, "checkout_id"),
        "cartState": "Ordered" if step == "COMPLETED" else "Active",
        "shippingInfo": made["shippingInfo"] if reached(step, "SHIPPING") else None,
        "shippingAddress": _address(group(of, "address"), group(of, "customer")),
        "paymentInfo": payments if reached(step, "PAYMENT") else None,
        "custom": {"fields": {**_custom(of), **_visit(group(of, "browser"))}},
    }


def _common(of: Fields) -> dict[str, object]:
    customer = group(of, "customer")
    return {
        "version": 1,
        "createdAt": iso(number(of, "created_at")),
        "lastModifiedAt": iso(number(of, "updated_at")),
        "customerId": text(customer, "customer_id") or None,
        "customerEmail": text(customer, "email") or None,
        "store": {"typeId": "store", "key": text(of, "shop")} if of.get("shop") else None,
        "totalPrice": _money(of, "grand_total_minor"),
        "taxedPrice": {
            "totalNet": _money(of, "subtotal_minor"),
            "totalGross": _money(of, "grand_total_minor"),
            "totalTax": _money(of, "tax_minor"),
        },
        "shippingInfo": {"shippingMethodName": "Standard", "price": _money(of, "shipping_minor")},
        "discountOnTotalPrice": {"discountedAmount": _money(of, "discount_minor")},
        "lineItems": [_line(item, text(of, "currency")) for item in rows(of, "items")],
    }


def _money(of: Fields, name: str) -> dict[str, object]:
    return _amount(number(of, name), text(of, "currency"))


def _amount(minor: int, currency: str) -> dict[str, object]:
    return {
        "type": "centPrecision",
        "currencyCode": currency,
        "centAmount": minor,
        "fractionDigits": digits(currency),
    }


def _line(item: Fields, currency: str) -> dict[str, object]:
    attributes = {
        "brand": text(item, "brand"),
        "category": text(item, "category"),
        "size": text(item, "variant"),
    }
    price, quantity = number(item, "price_minor"), number(item, "quantity")
    return {
        "id": f"line-{text(item, 'sku')}",
        "productId": text(item, "sku"),
        "name": {"en": text(item, "name")},
        "variant": {
            "id": 1,
            "sku": text(item, "sku"),
            "attributes": [{"name": name, "value": value} for name, value in attributes.items() if value],
        },
        "price": {"value": _amount(price, currency)},
        "quantity": quantity,
        "totalPrice": _amount(price * quantity, currency),
    }


def _address(address: Fields, customer: Fields) -> dict[str, object] | None:
    if not address and not customer:
        return None
    told = {
        "firstName": text(customer, "first_name"),
        "lastName": text(customer, "last_name"),
        "streetName": text(address, "street"),
        "city": text(address, "city"),
        "state": text(address, "region"),
        "postalCode": text(address, "postal_code"),
        "country": text(address, "country"),
        "mobile": text(customer, "phone"),
    }
    return {name: value or None for name, value in told.items()}


def _custom(of: Fields) -> dict[str, object]:
    said = group(of, "consent")
    told = {
        "eventId": text(of, "event_id") or None,
        "consentAds": _SAID.get(text(said, "ads")),
        "consentAnalytics": _SAID.get(text(said, "analytics")),
        "consentPersonalisation": _SAID.get(text(said, "personalisation")),
        "saleOptOut": bool(said.get("sale_opt_out")),
        "consentRegion": text(said, "region") or None,
        "consentAt": iso(number(said, "at")) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _visit(browser: Fields) -> dict[str, object]:
    special = {"ip": "clientIp", "user_agent": "clientUserAgent"}
    return {special.get(name, _camel(name)): text(browser, name) for name in browser}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)

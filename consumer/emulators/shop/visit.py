"""A visit: where it came from, what its browser knew, what was in the cart and what the visitor allowed."""

from collections.abc import Mapping
from hashlib import sha256
from random import Random
from typing import TypeAlias
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct

from consumer.emulators.shop.people import Country, ip

Said: TypeAlias = Mapping[str, str]
"""Purpose to GRANTED, DENIED or UNSPECIFIED."""
PURPOSES = ("ads", "analytics", "personalisation")
ANALYTICS_FACTS = frozenset({"ga_client_id", "ga_session_id"})
EXPONENTS = {"USD": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3, "BRL": 2, "SEK": 2, "CAD": 2}
_UNIT = {"USD": 1.0, "EUR": 0.9, "GBP": 0.8, "JPY": 150.0, "KWD": 0.31, "BRL": 5.4, "SEK": 10.0, "CAD": 1.4}
_CATALOGUE = (
    ("TEE-01", "Organic T-Shirt", "Nordlicht", "Apparel > Shirts", ("S", "M", "L"), 25),
    ("MUG-07", "Mug “Good Morning”", "Töpferei", "Home > Kitchen", ("", "blue"), 14),
    ("BAG-22", "Canvas Bag", "Nordlicht", "Bags", ("sand", "black"), 39),
    ("SHOE-5", "Trail Shoes", "Übermut", "Apparel > Shoes", ("41", "42", "43"), 129),
    ("LAMP-3", "Desk Lamp", "Lumière", "Home > Light", ("",), 79),
    ("TEA-11", "緑茶 Green Tea", "茶園", "Food > Tea", ("50 g", "100 g"), 9),
    ("BOOK-9", "Cookbook, 2nd ed.", "", "Books", ("",), 32),
    ("SOFA-1", "Sofa", "Übermut", "Home > Furniture", ("grey",), 899),
)
_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Mobile Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 Chrome/143.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
CHANNELS = (
    "meta",
    "google",
    "tiktok",
    "snapchat",
    "pinterest",
    "reddit",
    "linkedin",
    "x",
    "microsoft",
    "direct",
)
_CHANNEL_WEIGHTS = (26, 24, 10, 5, 5, 3, 2, 2, 4, 19)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Cart(Struct, frozen=True):
    """Items and totals, in the fields that the schemas of order and checkout share."""

    currency: str
    subtotal_minor: int
    tax_minor: int
    shipping_minor: int
    discount_minor: int
    items: tuple[dict[str, object], ...]

    @property
    def grand_total_minor(self) -> int:
        """What the customer pays."""
        return self.subtotal_minor + self.tax_minor + self.shipping_minor - self.discount_minor

    def fields(self) -> dict[str, object]:
        """As fields of an order or a checkout."""
        return {
            "currency": self.currency,
            "grand_total_minor": self.grand_total_minor,
            "subtotal_minor": self.subtotal_minor,
            "tax_minor": self.tax_minor,
            "shipping_minor": self.shipping_minor,
            "discount_minor": self.discount_minor,
            "items": [dict(item) for item in self.items],
        }


def cart(rng: Random, country: Country) -> Cart:
    """One to four lines, priced in the country's currency."""
    currency = country.currency
    minor = 10 ** EXPONENTS[currency] * _UNIT[currency]
    items: list[dict[str, object]] = []
    subtotal_minor = 0
    for sku, name, brand, category, variants, price in rng.sample(
        _CATALOGUE, rng.choices((1, 2, 3, 4), (6, 3, 2, 1))[0]
    ):
        quantity = rng.choices((1, 2, 5), (8, 2, 1))[0]
        price_minor = round(price * minor) + rng.randrange(10)
        variant = rng.choice(variants)
        subtotal_minor += quantity * price_minor
        items.append(
            {
                "sku": f"{sku}-{variant}" if variant else sku,
                "quantity": quantity,
                "price_minor": price_minor,
                "name": name,
                "brand": brand,
                "category": category,
                "variant": variant,
            }
        )
    return Cart(
        currency=currency,
        subtotal_minor=subtotal_minor,
        tax_minor=subtotal_minor * rng.choice((0, 7, 19, 20)) // 100,
        shipping_minor=round(rng.choice((0, 0, 5, 9)) * minor),
        discount_minor=subtotal_minor * rng.choice((0, 0, 0, 10)) // 100,
        items=tuple(items),
    )


def browser(rng: Random, started_ms: int, country: Country) -> dict[str, object]:
    """What the shop's pages knew, in the fields of the schema's Browser: click ids follow the channel."""
    channel = rng.choices(CHANNELS, _CHANNEL_WEIGHTS)[0]
    landing = f"https://shop.example/{country.code.lower()}/sale"
    facts: dict[str, object] = {
        "ip": ip(rng),
        "user_agent": rng.choice(_AGENTS),
        "page_url": "https://shop.example/checkout",
        "referrer_url": landing,
        **_clicks(rng, channel, started_ms),
    }
    if rng.random() < 0.8:  # noqa: PLR2004 (one visitor in five blocks cookies of others)
        facts["fbp"] = f"fb.1.{started_ms - rng.randrange(10**9)}.{rng.randrange(2**31)}"
        facts["ga_client_id"] = f"{rng.randrange(10**9)}.{(started_ms // 1000) - rng.randrange(10**6)}"
        facts["ga_session_id"] = str(started_ms // 1000)
    return facts


def _clicks(rng: Random, channel: str, started_ms: int) -> dict[str, object]:
    token = "".join(rng.choices(_ALPHABET, k=40))
    if channel == "meta":  # a landing address alone, a cookie alone, or both
        cookie: dict[str, object] = {"fbc": f"fb.1.{started_ms - rng.randrange(600_000)}.{token}"}
        return rng.choice((dict[str, object](fbclid=token), cookie, {"fbclid": token, **cookie}))
    if channel == "google":
        return {rng.choice(("gclid", "gclid", "gbraid", "wbraid")): token}
    if channel == "reddit":
        return {"rdt_cid": token, "rdt_uuid": f"{started_ms}.{_uuid(token)}"}
    of: dict[str, dict[str, object]] = {
        "tiktok": {"ttclid": f"E.C.P.{token}", "ttp": _digest(token)[:27]},
        "snapchat": {"sc_click_id": token, "sc_cookie1": _uuid(token)},
        "pinterest": {"epik": token},
        "linkedin": {"li_fat_id": _uuid(token)},
        "x": {"twclid": token},
        "microsoft": {"msclkid": _digest(token)[:32]},
    }
    return of.get(channel, {})


def _uuid(token: str) -> str:
    return str(uuid5(NAMESPACE_URL, token))


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def allowed(facts: Mapping[str, object], said: Said) -> dict[str, str]:
    """What remains of a browser's facts: analytics' own go with analytics, all others with ads."""
    return {
        name: str(fact)
        for name, fact in facts.items()
        if said["analytics" if name in ANALYTICS_FACTS else "ads"] != "DENIED"
    }


def alike(answer: str) -> dict[str, str]:
    """One answer for all purposes, as most banners give it."""
    return dict.fromkeys(PURPOSES, answer)


def consent(said: Said, region: str, at_ms: int, *, sale_opt_out: bool = False) -> dict[str, object]:
    """As the schema's Consent."""
    return {
        **said,
        "sale_opt_out": sale_opt_out,
        "region": region,
        "at": 0 if said == alike("UNSPECIFIED") else at_ms,
    }

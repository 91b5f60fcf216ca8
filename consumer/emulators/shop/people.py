"""Made-up customers of many countries.

Numbers come from ranges that the countries keep for fiction where they have one, mail domains from RFC 2606,
addresses of machines from RFC 5737 and RFC 3849.
"""

from random import Random

from msgspec import Struct


class Country(Struct, frozen=True):
    """How a country writes names, numbers and places; `#` is a digit, places are city, region, code."""

    code: str
    currency: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    phones: tuple[str, ...]
    places: tuple[tuple[str, str, str], ...]
    streets: tuple[str, ...]


class Person(Struct, frozen=True):
    """A customer, in the fields of the schema's records Customer and Address."""

    country: Country
    customer_id: str
    email: str
    phone: str
    first_name: str
    last_name: str
    gender: str
    date_of_birth: str
    street: str
    city: str
    region: str
    postal_code: str

    def customer(self) -> dict[str, object]:
        """As the schema's Customer."""
        names = ("customer_id", "email", "phone", "first_name", "last_name", "gender", "date_of_birth")
        return {name: getattr(self, name) for name in names}

    def address(self) -> dict[str, object]:
        """As the schema's Address."""
        names = ("street", "city", "region", "postal_code")
        return {**{name: getattr(self, name) for name in names}, "country": self.country.code}


_US = Country(
    "US",
    "USD",
    ("Mary", "James", "Aaliyah", "José", "Mei-Ling", "D'Andre", "Robert", "Priya"),
    ("Johnson", "O'Brien-Smith", "García", "Nguyen", "Van Buren", "St. John", "Washington"),
    ("+1 202-555-01##", "(415) 555-01##", "1-303-555-01##", "+1 (616) 555-01##"),
    (
        ("New York", "NY", "10001"),
        ("San Francisco", "CA", "94107-1234"),
        ("Denver", "CO", "80202"),
        ("Hartford", "CT", "06103"),
        ("St. Louis", "MO", "63101"),
        ("Austin", "Texas", "73301"),
    ),
    ("# Main Street", "1## Elm Ave Apt #", "4# Broadway"),
)
_DE = Country(
    "DE",
    "EUR",
    ("Jürgen", "Käthe", "Anna-Lena", "Şule", "Max", "Zoë"),
    ("Müller", "Groß", "von der Heide", "Çelik", "Schmidt-Lüdenscheidt"),
    ("+49 171 39200##", "0049 171 39200##", "0171 39200##", "+49 (0)171 39200##"),
    (("Berlin", "Berlin", "10115"), ("München", "Bayern", "80331"), ("Köln", "NRW", "50667")),
    ("Hauptstraße #", "Am Alten Markt 1#", "Goetheweg #a"),
)
_GB = Country(
    "GB",
    "GBP",
    ("Oliver", "Siân", "Mohammed", "Niamh", "Harriet"),
    ("Smith", "O\u2019Neil", "Patel", "Llewellyn-Jones", "Okafor"),
    ("+44 7700 900###", "07700 900###", "0044 7700 900###"),
    (
        ("London", "", "SW1A 1AA"),
        ("Stoke-on-Trent", "Staffordshire", "ST1 1AA"),
        ("Cardiff", "Wales", "CF10 1AA"),
    ),
    ("## High Street", "Flat #, The Old Mill", "# King's Road"),
)
_FR = Country(
    "FR",
    "EUR",
    ("Valéry", "Zoé", "François", "Anaïs", "Jean-Luc"),
    ("Lefèvre", "D'Artagnan", "Dupont", "Benoît", "de La Fontaine"),
    ("+33 6 39 98 ## ##", "06 39 98 ## ##"),
    (("Paris", "Île-de-France", "75001"), ("L'Haÿ-les-Roses", "", "94240"), ("Lyon", "Rhône", "69002")),
    ("# rue de la Paix", "1# avenue des Champs"),
)
_JP = Country(
    "JP",
    "JPY",
    ("さくら", "太郎", "Kenji", "陽子"),
    ("佐藤", "鈴木", "Tanaka", "髙橋"),
    ("+81 90-0000-####", "090-0000-####"),
    (("東京", "東京都", "100-0001"), ("大阪市", "大阪府", "530-0001"), ("Kyoto", "Kyoto", "600-8001")),
    ("千代田1-#-#", "中央区梅田#-1"),
)
_KW = Country(
    "KW",
    "KWD",
    ("محمد", "Fatima", "Noura", "عبدالله"),
    ("الصباح", "Al-Mutairi", "Al Rashid"),
    ("+965 5000 0###", "00965 50000###"),
    (("Kuwait City", "Al Asimah", "13001"), ("Salmiya", "Hawalli", "22001")),
    ("Block #, Street 1#", "Gulf Road #"),
)
_BR = Country(
    "BR",
    "BRL",
    ("João", "Conceição", "Thiago", "Luíza"),
    ("da Silva", "Gonçalves", "Araújo", "dos Santos"),
    ("+55 11 90000-####", "+55 (21) 90000-####"),
    (("São Paulo", "SP", "01310-100"), ("Rio de Janeiro", "RJ", "20040-002")),
    ("Rua das Flores, #", "Av. Paulista 1##"),
)
_SE = Country(
    "SE",
    "SEK",
    ("Åsa", "Björn", "Märta", "Elin"),
    ("Åström", "Öberg", "Lindqvist"),
    ("+46 70 174 06 ##", "070-174 06 ##"),
    (("Malmö", "Skåne", "211 20"), ("Stockholm", "", "111 22")),
    ("Storgatan #", "Kungsgatan 1# B"),
)
_CA = Country(
    "CA",
    "CAD",
    ("Geneviève", "Liam", "Chloé", "Noah"),
    ("Tremblay", "MacDonald", "Singh", "Côté"),
    ("+1 514-555-01##", "(604) 555-01##"),
    (("Montréal", "QC", "H2X 1Y4"), ("Vancouver", "BC", "V6B 1A1"), ("Ottawa", "Ontario", "K1A 0A6")),
    ("## Rue Sainte-Catherine", "1## Robson St"),
)
COUNTRIES = (_US, _DE, _GB, _FR, _JP, _KW, _BR, _SE, _CA)
WEIGHTS = (30, 16, 12, 9, 9, 6, 7, 5, 6)
_MAIL = ("example.com", "example.org", "example.net", "mail.example.com", "GMAIL.example.com")


def person(rng: Random, number: str, country: Country | None = None) -> Person:
    """A customer; `number` makes the shop's id of them and keeps mail addresses apart."""
    home = country or rng.choices(COUNTRIES, WEIGHTS)[0]
    city, region, postal_code = rng.choice(home.places)
    return Person(
        country=home,
        customer_id=f"cust-{number}",
        email=_email(rng, number),
        phone=digits(rng, rng.choice(home.phones)),
        first_name=rng.choice(home.first_names),
        last_name=rng.choice(home.last_names),
        gender=rng.choice(("", "", "f", "m", "Female")),
        date_of_birth=rng.choice(
            ("", "", f"{rng.randint(1950, 2004)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}")
        ),
        street=digits(rng, rng.choice(home.streets)),
        city=city,
        region=region,
        postal_code=postal_code,
    )


def _email(rng: Random, number: str) -> str:
    name = rng.choice(("jane.doe", "shopper", "Anna_K", "li.wei", "o.connor", "first+shop"))
    return f"{name}.{number}@{rng.choice(_MAIL)}"


def digits(rng: Random, pattern: str) -> str:
    """The pattern, each `#` a digit from 1 to 9."""
    return "".join(str(rng.randint(1, 9)) if character == "#" else character for character in pattern)


def ip(rng: Random) -> str:
    """An address kept for documentation, one in three IPv6."""
    if rng.random() < 1 / 3:
        return f"2001:db8:{rng.randrange(65536):x}::{rng.randrange(1, 65536):x}"
    return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randint(1, 254)}"

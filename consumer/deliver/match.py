"""How well a platform can find the person of an event: which identifiers it is told, and a score that predicts it.

The formula is ours, as no platform publishes one. The score is the sum of the weights of the identifiers that an event
has, and 10 at most: so much that one more can't help.
"""

from collections.abc import Iterable, Mapping
from itertools import compress

from consumer.platforms.contract import Identifier

WEIGHTS: Mapping[Identifier, int] = {
    "email": 30,
    "click_id": 30,
    "phone": 20,
    "external_id": 10,
    "browser_id": 10,
    "address": 10,
    "session_id": 5,
    "last_name": 4,
    "street": 4,
    "first_name": 3,
    "date_of_birth": 3,
    "postal_code": 3,
    "ip": 3,
    "city": 2,
    "user_agent": 2,
    "region": 1,
    "country": 1,
    "gender": 1,
}
"""In tenths of a point. What is one person's alone weighs most, what many share only helps."""

MOST = 100


def found(event: bytes, identifiers: Mapping[Identifier, bytes]) -> tuple[Identifier, ...]:
    """Those of a platform's identifiers that one of its events tells.

    >>> found(b'{"em":"h1","ph":"h2"}', {"email": b'"em":', "phone": b'"ph":', "gender": b'"ge":'})
    ('email', 'phone')
    """
    return tuple(compress(identifiers, map(event.__contains__, identifiers.values())))


def tenths(identifiers: Iterable[Identifier]) -> int:
    """The score of an event that tells these, in tenths of a point: 0 to 100.

    >>> tenths(["email", "ip", "user_agent"])
    35
    """
    return min(MOST, sum(map(WEIGHTS.__getitem__, identifiers)))

"""OpenAI's Conversions API for ads in ChatGPT, v1.

Rules: developers.openai.com/ads (Conversions API, supported events, JavaScript pixel). One bad event fails its whole
batch, so an event is checked here to the depth of those pages before it is sent. The pixel's event and the server's are
one by pixel, name and id; the first that comes is used, and whoever tries again is asked to use the same id. OpenAI has
no refund event: refunds are not taken.

The pages tell nothing of replies. That `accepted_events` counts what was taken, and that an `error` has a `message`,
was seen in public code; so the status decides. With 400 and 422 any JSON object is taken for OpenAI's own. An event's
place is read from wherever the reply names one; if that is wrong, the batch is sent in halves.

Where sources leave a choice: fields of the user are lists, as the newest pages have them, not the single values of
older ones, which also forbade phone numbers. Names are told without any sign, though OpenAI would keep those beyond
ASCII: such a name matches nobody. An item's amount is that of one piece, and has its currency beside it. An order whose
page isn't known comes from `other`, since `web` demands a page. The payment step is a custom event, which the pixel
must name alike. OpenAI lets every identifier be missing; here such an event is held back: it would count for nobody.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
import orjson

from consumer.forms import form
from consumer.model import Conversion, Item
from consumer.platforms.contract import (
    Accepted,
    Account,
    BatchRejected,
    Field,
    Limits,
    Platform,
    Probe,
    Reply,
    Request,
    Setup,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unfit,
    Verdict,
    plain_ip,
    retry_after_s,
)
from consumer.platforms.shared import STATUS_CODES, page_address, unread

VERSION = "v1"
EVENTS = {
    "purchase": "order_created",
    "begin_checkout": "checkout_started",
    "add_payment_info": "add_payment_info",
}
CUSTOM = frozenset({"add_payment_info"})
"""Names that are ours; the others are OpenAI's."""

HASHED = (
    ("emails_sha256", "email"),
    ("phone_numbers_sha256", "phone"),
    ("external_ids_sha256", "external_id_exact"),
    ("first_names_sha256", "first_name"),
    ("last_names_sha256", "last_name"),
)
IDENTIFYING = frozenset({"emails_sha256", "phone_numbers_sha256", "external_ids_sha256", "obref"})
BROWSER = frozenset({"ip_address", "user_agent"})
"""Together they identify too; names and places only help."""

PLACES = (
    ("countries", "country", re.compile(r"[A-Za-z]{2}")),
    ("regions", "region", re.compile(r".{1,128}")),
    ("cities", "city", re.compile(r".{1,128}")),
    ("postal_codes", "postal_code", re.compile(r"[A-Za-z0-9 -]{1,32}")),
)
"""Told plain, where they are of the form that OpenAI reads."""

LATEST_MS = 10_000_000_000_000
CULPRIT = re.compile(rb"\bevents\[(\d{1,6})\]")
PIXEL = "pid"
NONE_ACCEPTED = "none_accepted"
SETUP_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    | {*range(300, 400)}
)
WAITING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
WITHOUT_SHAPE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
"""Refusals of whose shape nothing is known."""

Body = TypeVar("Body")


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `events`, as JSON."""
    del account
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    user, oppref = _user(conversion), _opaque(conversion, "oppref")
    if not oppref and IDENTIFYING.isdisjoint(user) and not user.keys() >= BROWSER:
        return Unfit(
            "no_identifiers",
            "the shop gave no e-mail, phone, customer id, oppref or obref, nor IP address and user agent together",
        )
    name, page = EVENTS[conversion.event_name], page_address(conversion.page_url)
    told = {
        "id": conversion.event_id,
        "type": "custom" if name in CUSTOM else name,
        "custom_event_name": name if name in CUSTOM else "",
        "timestamp_ms": conversion.event_time,
        "action_source": "web" if page else "other",
        "source_url": page,
        "oppref": oppref,
        "opt_out": conversion.sale_opt_out,
        "user": user,
        "data": {"type": "custom" if name in CUSTOM else "contents", **_data(conversion)},
    }
    return orjson.dumps(_known(told))


def _user(conversion: Conversion) -> dict[str, object]:
    hashes = {key: form(conversion.identity, wanted) for key, wanted in HASHED}
    places = {key: getattr(conversion, name).strip() for key, name, _ in PLACES}
    fitting = {key: places[key] for key, _, pattern in PLACES if pattern.fullmatch(places[key])}
    return {
        **{key: [each] for key, each in (hashes | fitting).items() if each},
        **_known(
            {
                "obref": _opaque(conversion, "obref"),
                "ip_address": plain_ip(conversion.ip),
                "user_agent": conversion.user_agent.strip(),
            }
        ),
    }


def _opaque(conversion: Conversion, name: str) -> str:
    """An id of OpenAI's own, exactly as it was found."""
    found = conversion.click_ids.get(name, "")
    return found if found.strip() else ""


def _data(conversion: Conversion) -> dict[str, object]:
    """Money is in minor units, as OpenAI wants it and as we have it."""
    currency = conversion.currency
    items = [_content(item, currency) for item in conversion.items if item.sku.strip() or item.name.strip()]
    money = {"amount": conversion.value_minor, "currency": currency}
    return {**money, "contents": items} if items else {**money}


def _content(item: Item, currency: str) -> dict[str, object]:
    return {
        **_known({"id": item.sku.strip(), "name": item.name.strip()}),
        "content_type": "product",
        "quantity": item.quantity,
        "amount": item.price_minor,
        "currency": currency,
    }


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The pixel's id is no secret and stands in the address; the key goes into a header."""
    head = b'{"validate_only":true,' if account.options.get("validate_only") == "true" else b"{"
    return Request(
        f"{account.base_url}/{VERSION}/events?{PIXEL}={account.account}",
        {"Authorization": account.token.bearer, "Content-Type": "application/json"},
        head + b'"events":[' + b",".join(events) + b"]}",
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same, only to be checked, whatever the settings say."""
    options = {**account.options, "validate_only": "true"}
    return request(msgspec.structs.replace(account, options=options), events)


class _Error(msgspec.Struct):
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class _Body(msgspec.Struct):
    accepted_events: int | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


def judge(reply: Reply) -> Verdict:
    """Decided by status, and by the number of events that OpenAI says it has taken; texts are never looked at."""
    body = _read(reply.body, _Body)
    if body is None:
        return unread(reply, "OpenAI")
    if bytes(body.error) != b"null" or reply.status in WITHOUT_SHAPE:
        return _judge_error(_read(body.error, _Error) or _Error(), reply)
    if reply.status >= HTTPStatus.MULTIPLE_CHOICES or body.accepted_events is None:
        return unread(reply, "OpenAI")
    if body.accepted_events > 0:
        return Accepted()
    return BatchRejected(NONE_ACCEPTED, "OpenAI said that all was well, and that it has taken none")


def _read(raw: bytes | msgspec.Raw, shape: type[Body]) -> Body | None:
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _judge_error(error: _Error, reply: Reply) -> Verdict:
    status = reply.status
    name = str(error.code or error.type or f"http_{status}")[:64]
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in WAITING:
        return Transient(name, retry_after_s(reply))
    if status in SETUP_STATUSES or error.param == PIXEL:
        return SetupFault(
            name, "OpenAI refuses the pixel's id, or the key: is it one of Conversions, not of the Ads API?"
        )
    culprits = tuple(dict.fromkeys(int(place) for place in CULPRIT.findall(reply.body)))
    return BatchRejected(name, "refused by OpenAI", culprits)


PLATFORM = Platform(
    name="openai",
    version=VERSION,
    base_url="https://bzr.openai.com",
    setup=Setup(
        account=Field("the pixel's id, from Ads Manager, Conversions", r"[A-Za-z0-9_-]+"),
        credentials="a Conversions API key: Ads Manager, Conversions, Conversion keys",
        options={
            "validate_only": Field(
                "whether events are only checked and not recorded", "true|false", needed=False
            )
        },
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented; a partner keeps to 4 MB
        age_max_ms=7 * 86_400_000,
        future_max_ms=10 * 60_000,
    ),  # rates are not documented
    events=EVENTS,
    dedupes_server_events=frozenset(EVENTS),  # by pixel, name and id; no window is told
    known_codes=STATUS_CODES | {"http_422", NONE_ACCEPTED},
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"emails_sha256":',
        "phone": b'"phone_numbers_sha256":',
        "first_name": b'"first_names_sha256":',
        "last_name": b'"last_names_sha256":',
        "city": b'"cities":',
        "region": b'"regions":',
        "postal_code": b'"postal_codes":',
        "country": b'"countries":',
        "external_id": b'"external_ids_sha256":',
        "click_id": b'"oppref":',
        "browser_id": b'"obref":',
        "ip": b'"ip_address":',
        "user_agent": b'"user_agent":',
    },
    probe=Probe(
        trial,
        judge,
        says="OpenAI found an event right, and didn't keep it: the key may write to the pixel",
    ),
)

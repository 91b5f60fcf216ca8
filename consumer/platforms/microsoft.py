"""Microsoft Advertising's UET Conversions API, v1.

Rules: learn.microsoft.com/advertising/guides, Conversions API (CAPI) guide. Our events are custom ones, since only they
have a value; a conversion goal counts those whose name is its action. There is no refund: the platform
`microsoft_refunds` corrects the purchase instead.

One bad event fails its whole batch, as is asked for. The other way is to have bad ones skipped; but the reply names ten
of them at most, so nobody would know which of the rest count. Of an e-mail, phone, currency or referrer that it can't
read Microsoft only warns, and drops the field: none of ours should be so, and a warning is told as a code that nobody
knows.

Where sources leave a choice: Silence would count as consent, so consent is always told: granted if the customer granted
ads and didn't opt out of sales, else denied, which keeps the event out of all advertising. A click id is a UUID as it
came, with dashes or without, but for what the tag's cookie and requests put around it; what is none is left out. Only
e-mail and phone must be hashed; a customer's id goes as a hash too, which is as opaque as Microsoft wants it. Whoever
tries again shall do so with the same eventId, says the guide: it is taken for a promise that this counts once.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
import orjson

from consumer.forms import form
from consumer.model import ConsentState, Conversion
from consumer.money import major
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
EVENTS = {name: name for name in ("purchase", "begin_checkout", "add_payment_info")}
IDENTIFYING = frozenset({"em", "ph", "externalId", "msclkid"})
CLICK_ID = re.compile(
    r"(?:_uet)?([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-[01])?", re.IGNORECASE
)
CODE = re.compile(r"\w{1,64}", re.ASCII)
LATEST_MS = 10_000_000_000_000
NONE_RECEIVED = "none_received"
SETUP_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)}
)
NOT_WELL = frozenset({HTTPStatus.REQUEST_TIMEOUT, *range(500, 600)})
KNOWN_CODES = (
    STATUS_CODES
    | {NONE_RECEIVED, "Unauthorized", "ValidationError"}
    | {"InvalidEnumValue", "Empty", "InvalidUrl", "InvalidSha256", "InvalidEventTime"}
)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `data`, as JSON."""
    del account
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    user = _user(conversion)
    if IDENTIFYING.isdisjoint(user):
        return Unfit(
            "no_identifiers", "the shop gave no e-mail, phone or customer id, nor Microsoft's click id"
        )
    granted = conversion.consent_ads == ConsentState.GRANTED and not conversion.sale_opt_out
    pages = {
        "eventSourceUrl": page_address(conversion.page_url),
        "referrerUrl": page_address(conversion.referrer_url),
    }
    return orjson.dumps(
        {
            "eventType": "custom",
            "eventName": EVENTS[conversion.event_name],
            "eventId": conversion.event_id,
            "eventTime": conversion.event_time // 1000,
            **_known(pages),
            "adStorageConsent": "G" if granted else "D",
            "userData": user,
            "customData": _custom(conversion),
        }
    )


def _user(conversion: Conversion) -> dict[str, str]:
    click_id = CLICK_ID.fullmatch(conversion.click_ids.get("msclkid", "").strip())
    return _known(
        {
            "em": form(conversion.identity, "email_no_alias"),
            "ph": form(conversion.identity, "phone_e164"),
            "externalId": form(conversion.identity, "external_id_exact"),
            "msclkid": click_id[1] if click_id else "",
            "clientIpAddress": plain_ip(conversion.ip),
            "clientUserAgent": conversion.user_agent.strip(),
        }
    )


def _custom(conversion: Conversion) -> dict[str, object]:
    currency = conversion.currency
    told: dict[str, object] = {"value": major(conversion.value_minor, currency), "currency": currency}
    if conversion.order_id:
        told["transactionId"] = conversion.order_id
    items = [
        {
            **_known({"id": item.sku.strip(), "name": item.name.strip()}),
            "price": major(item.price_minor, currency),
            "quantity": item.quantity,
        }
        for item in conversion.items
        if item.sku.strip()
    ]
    if items:
        told["items"] = items
    return told


def _known(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in texts.items() if text}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """The tag is in the address, its token in a header."""
    return Request(
        f"{account.base_url}/{VERSION}/{account.account}/events",
        {"Authorization": account.token.bearer, "Content-Type": "application/json"},
        b'{"continueOnValidationError":false,"data":[' + b",".join(events) + b"]}",
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same without any event: who may write is told that there is none, a stranger is refused before."""
    del events
    return request(account, ())


class _Detail(msgspec.Struct, rename="camel"):
    """What is wrong with one field. What was in it, which Microsoft tells too, is not read."""

    index: int | None = None
    error_code: str | None = None
    is_warning: bool | None = False


class _Error(msgspec.Struct):
    code: str | None = None
    details: msgspec.Raw = msgspec.Raw(b"null")


class _Body(msgspec.Struct, rename="camel"):
    error: _Error | None = None
    events_received: int | None = None


def judge(reply: Reply) -> Verdict:
    """Decided by the status and the details' codes; what is no warning tells which events are at fault."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Microsoft")
    if body.error is not None and reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return _judge_error(body.error, reply)
    if body.events_received is None or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return unread(reply, "Microsoft")
    return _judge_success(body.error or _Error(), body.events_received)


def judge_trial(reply: Reply) -> Verdict:
    """Refused for want of events alone."""
    verdict = judge(reply)
    return Accepted() if isinstance(verdict, BatchRejected) else verdict


def _judge_error(error: _Error, reply: Reply) -> Verdict:
    name, status = _name(error.code), reply.status
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if status in NOT_WELL:
        return Transient(name, retry_after_s(reply))
    if status in SETUP_STATUSES:
        return SetupFault(name, "token or tag refused by Microsoft")
    return _rejected(name, _details(error))


def _judge_success(error: _Error, received: int) -> Verdict:
    details = _details(error)
    if any(not detail.is_warning for detail in details):
        return _rejected(_name(error.code), details)
    if received <= 0:
        return BatchRejected(NONE_RECEIVED, "Microsoft said that all was well, and that it has received none")
    return Accepted(code=f"warning/{_name(details[0].error_code)}" if details else "")


def _rejected(name: str, details: Sequence[_Detail]) -> BatchRejected:
    """The first ten things found are told, warnings among them: there may be more culprits."""
    faults = [detail for detail in details if not detail.is_warning]
    named = (fault.index for fault in faults if fault.index is not None and fault.index >= 0)
    code = _name(faults[0].error_code, name) if faults else name
    return BatchRejected(code, "refused by Microsoft", tuple(dict.fromkeys(named)))


def _details(error: _Error) -> list[_Detail]:
    try:
        return msgspec.json.decode(error.details, type=list[_Detail] | None) or []
    except msgspec.MsgspecError:
        return []


def _name(code: str | None, otherwise: str = "unnamed") -> str:
    return code if code and CODE.fullmatch(code) else otherwise


PLATFORM = Platform(
    name="microsoft",
    version=VERSION,
    base_url="https://capi.uet.microsoft.com",
    setup=Setup(
        account=Field("the UET tag's id, from Conversion tracking, UET tag", r"\d+"),
        credentials="the tag's token: Conversion tracking, UET tag, Set up tagging, Use Conversions API",
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented; a partner's limit
        age_max_ms=7 * 86_400_000,
        future_max_ms=60_000,  # not documented
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(EVENTS),  # by tag, eventId and eventName; for how long isn't documented
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"em":',
        "phone": b'"ph":',
        "external_id": b'"externalId":',
        "click_id": b'"msclkid":',
        "ip": b'"clientIpAddress":',
        "user_agent": b'"clientUserAgent":',
    },
    probe=Probe(trial, judge_trial, says="Microsoft knows the token and the tag; it was sent no event"),
)

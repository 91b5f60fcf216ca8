"""Google Ads conversions by the Data Manager API, v1: `events:ingest`.

Rules: developers.google.com/data-manager/api (devguides/events/google-ads/online/send-events, conversion-adjustments,
devguides/concepts/formatting and limits, the REST reference) and the release notes up to v1.9; `google_replies` has the
answers.

One bad event fails its whole request, so an event is checked here to the depth of those pages. Each of our events is a
conversion action of its own, of the type WEBPAGE, and is known by transactionId with it: the bare order id of a
purchase, which the tag must send too, byte for byte; our event id of a step. The same pair again is an adjustment, so
sending twice counts once. It retracts nothing, and it makes a new conversion where there was none: refunds are not
taken. What Google finds wrong later it tells on request, by the events' places since v1.9.

Where sources leave a choice: E-mails follow Google's newer rule, without dots and plus part at Gmail; names keep their
signs, as in Google's own library. Google says that an IP address alone is an identifier; it tells nobody apart, so that
it only goes with a click id or a customer. One click id is sent, since not every pair may be. Who opted out of sales is
told as one who denies personal ads.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
import orjson

from consumer.forms import form
from consumer.model import ConsentState, Conversion, EventName
from consumer.money import major
from consumer.platforms import oauth
from consumer.platforms.contract import (
    Account,
    Diagnosis,
    Field,
    Limits,
    Platform,
    Probe,
    Request,
    Setup,
    Unfit,
    plain_ip,
)
from consumer.platforms.google_replies import KNOWN_CODES, diagnose, judge, judge_trial

EVENTS = {
    str(name): str(name)
    for name in (EventName.PURCHASE, EventName.BEGIN_CHECKOUT, EventName.ADD_PAYMENT_INFO)
}
CLICK_IDS = ("gclid", "gbraid", "wbraid")
TRANSACTION_ID_MAX_CHARACTERS = 64
LATEST_MS = 10_000_000_000_000
CLICK_ID = re.compile(r"[!-~]{1,500}", re.ASCII)
POSTAL_CODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 -]{0,8}[A-Za-z0-9])?", re.ASCII)
POSTAL_CODE_OF_US = re.compile(r"\d{5}(?:-\d{4})?", re.ASCII)
COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `events`, as JSON, for the destination that is called like our event."""
    name = conversion.event_name
    purchase = name == EventName.PURCHASE
    transaction_id = conversion.order_id if purchase else conversion.event_id
    if name not in account.actions:
        return Unfit("no_action", "the destination's settings name no conversion action for this event")
    if not transaction_id.strip() or len(transaction_id) > TRANSACTION_ID_MAX_CHARACTERS:
        return Unfit(
            "transaction_id", "the shop's id of the order, or of the step, has not 1 to 64 characters"
        )
    if not 0 < conversion.event_time < LATEST_MS:
        return Unfit("event_time", "event_time is out of range")
    click, people = _click(conversion.click_ids), _people(conversion)
    if not click and not people:
        return Unfit(
            "no_identifiers",
            "the shop tells neither a Google click id, nor an e-mail, phone or whole address",
        )
    told = {
        "destinationReferences": [name],
        "transactionId": transaction_id,
        "eventTimestamp": _time(conversion.event_time),
        "eventSource": "WEB",
        "conversionValue": major(conversion.value_minor, conversion.currency),
        "currency": conversion.currency,
        "adIdentifiers": _known({**click, "landingPageDeviceInfo": _device(conversion)}),
        "userData": {"userIdentifiers": people} if people else {},
        "consent": _consent(conversion),
        "cartData": {} if click.keys() - {"gclid"} or not purchase else _cart(conversion, account.options),
    }
    return orjson.dumps({key: each for key, each in told.items() if each or key == "conversionValue"})


def _time(at_ms: int) -> str:
    """As RFC 3339 has it.

    >>> _time(1790000000007)
    '2026-09-21T14:13:20.007Z'
    """
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def _click(click_ids: Mapping[str, str]) -> dict[str, object]:
    """The first of the three that is one."""
    for name in CLICK_IDS:
        if CLICK_ID.fullmatch(told := click_ids.get(name, "").strip()):
            return {name: told}
    return {}


def _device(conversion: Conversion) -> dict[str, object]:
    return _known({"userAgent": conversion.user_agent.strip(), "ipAddress": plain_ip(conversion.ip)})


def _people(conversion: Conversion) -> list[dict[str, object]]:
    """User identifiers; none against the customer's word."""
    if conversion.consent_ads == ConsentState.DENIED:
        return []
    told: tuple[tuple[str, object], ...] = (
        ("emailAddress", form(conversion.identity, "email_gmail")),
        ("phoneNumber", form(conversion.identity, "phone_e164")),
        ("address", _address(conversion)),
    )
    return [{key: each} for key, each in told if each]


def _address(conversion: Conversion) -> dict[str, object]:
    """All four parts or nothing; a postal code of another form would refuse the batch."""
    country, postal_code = conversion.country, conversion.postal_code.strip()
    code = POSTAL_CODE_OF_US if country == "US" else POSTAL_CODE
    told = {
        "givenName": form(conversion.identity, "first_name_lower"),
        "familyName": form(conversion.identity, "last_name_lower"),
        "regionCode": country if COUNTRY.fullmatch(country) else "",
        "postalCode": postal_code if code.fullmatch(postal_code) else "",
    }
    return dict(told) if all(told.values()) else {}


def _consent(conversion: Conversion) -> dict[str, object]:
    denied = ConsentState.DENIED.value
    said = {
        "adUserData": conversion.consent_ads,
        "adPersonalization": denied if conversion.sale_opt_out else conversion.consent_personalisation,
    }
    return {
        purpose: f"CONSENT_{state}" for purpose, state in said.items() if state != ConsentState.UNSPECIFIED
    }


def _cart(conversion: Conversion, options: Mapping[str, str]) -> dict[str, object]:
    """Products by their ids in the Merchant Center; without one they mean nothing to Google."""
    currency = conversion.currency
    items = [
        {
            "merchantProductId": item.sku,
            "quantity": str(item.quantity),
            "unitPrice": major(item.price_minor, currency),
        }
        for item in conversion.items
        if item.sku.strip()
    ]
    if not items or not options.get("merchant_id"):
        return {}
    return _known(
        {
            "merchantId": options["merchant_id"],
            "merchantFeedLabel": options.get("feed_label"),
            "merchantFeedLanguageCode": options.get("feed_language"),
            "transactionDiscount": conversion.discount_minor and major(conversion.discount_minor, currency),
            "items": items,
        }
    )


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: each for key, each in fields.items() if each}


def request(account: Account, events: Sequence[bytes]) -> Request:
    """A destination for each conversion action that one of these events is for."""
    login = account.options.get("login_account")
    accounts = {
        "operatingAccount": _ads(account.account),
        **({"loginAccount": _ads(login)} if login else {}),
    }
    destinations = [
        {"reference": name, **accounts, "productDestinationId": action}
        for name, action in account.actions.items()
        if _is_meant(name, events)
    ]
    return Request(
        f"{account.base_url}/v1/events:ingest",
        {"Authorization": account.token.bearer, "Content-Type": "application/json"},
        b'{"destinations":%b,"encoding":"HEX","events":[%b]}'
        % (orjson.dumps(destinations), b",".join(events)),
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same, only to be validated."""
    made = request(account, events)
    return msgspec.structs.replace(made, body=b'{"validateOnly":true,' + made.body[1:])


def _is_meant(name: str, events: Sequence[bytes]) -> bool:
    """An event begins with its reference, as `event` writes it."""
    beginning = orjson.dumps({"destinationReferences": [name]})[:-1]
    return any(each.startswith(beginning) for each in events)


def _ads(customer_id: str) -> dict[str, str]:
    return {"accountType": "GOOGLE_ADS", "accountId": customer_id}


def ask(account: Account, request_id: str) -> Request:
    """What became of a request."""
    url = f"{account.base_url}/v1/requestStatus:retrieve?requestId={quote(request_id, safe='')}"
    return Request(url, {"Authorization": account.token.bearer}, b"", method="GET")


PLATFORM = Platform(
    name="google",
    version="v1",
    base_url="https://datamanager.googleapis.com",
    setup=Setup(
        account=Field(
            "the Google Ads customer id that owns the conversion actions, without dashes", r"[0-9]{10}"
        ),
        credentials="the key of a service account, as JSON: Google Cloud, IAM, Service accounts, Keys; enable the Data"
        " Manager API there, and give the account's e-mail access in Google Ads",
        action=Field(
            "the conversion action's id, of the type WEBPAGE: ctId in its page's address", r"[0-9]+"
        ),
        options={
            "login_account": Field(
                "the manager's customer id, if access is by a manager", r"[0-9]{10}", needed=False
            ),
            "merchant_id": Field("the Merchant Center's id, for cart data", r"[0-9]+", needed=False),
            "feed_label": Field("the label of its feed", r"[A-Z0-9_-]{1,20}", needed=False),
            "feed_language": Field("the language of its feed, ISO 639-1", r"[a-z]{2}", needed=False),
        },
    ),
    limits=Limits(
        events_max=2000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=90 * 86_400_000,  # of the click, says the help centre; an older event's is older still
        future_max_ms=60_000,  # not documented
        requests_per_s=5.0,  # 300 a minute of a Cloud project, and 100,000 a day
    ),
    events=EVENTS,
    dedupes_server_events=frozenset(EVENTS),  # the same transactionId and action again is an adjustment
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    identifiers={
        "email": b'"emailAddress":',
        "phone": b'"phoneNumber":',
        "address": b'"address":',
        "click_id": b'id":"',  # gclid, gbraid and wbraid: no other key of Google's ends so
        "ip": b'"ipAddress":',
        "user_agent": b'"userAgent":',
    },
    linger_ms=2000,  # 100,000 requests a day, and each is asked about later, at half a request a second
    batch_events=1000,
    grant=oauth.service_account(
        "https://oauth2.googleapis.com/token", "https://www.googleapis.com/auth/datamanager"
    ),
    diagnosis=Diagnosis(
        first_after_s=1800.0,
        again_after_s=1800.0,
        give_up_after_s=6 * 3600.0,
        request=ask,
        judge=diagnose,
    ),
    probe=Probe(
        trial,
        judge_trial,
        says="Google found an event right, and didn't keep it: the key may write to the account and to the action of"
        " this event",
    ),
)

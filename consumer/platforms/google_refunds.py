"""Google Ads' refunds by the Google Ads API, v26: `customers/…:uploadConversionAdjustments`.

Rules: developers.google.com/google-ads/api (docs/conversions/upload-adjustments, docs/concepts/call-structure, the
reference of ConversionAdjustmentUploadService), its release notes and sunset dates; `google_refunds_replies` has the
answers.

The Data Manager API, by which purchases are told, takes nothing back. Here a refund names its purchase by the bare
order id and the purchase's own conversion action, whoever told it, the tag or a server, and carries no customer's data.
With all of an order refunded its conversion is retracted, for good. Else its value is told anew, as what is left of it
after all refunds that the order tells of: so one that comes twice changes nothing. A shop must tell all refunds of an
order with each update, as the schema of orders has it; where it tells the newest alone, nobody knows what is left.

Where sources leave a choice: the time is told in whole seconds, rounded up, since an adjustment must not come before
its conversion. Of two adjustments of a conversion Google keeps the one with the later time, and of those with the same
second the first: the other one it calls superseded, or there already, which is taken for a success. A conversion that
isn't found is looked for again until its window ends: Google needs hours to have one, and has none of customers whom it
can't attribute to an ad. Order ids have 64 characters at most, as in the Data Manager API.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import orjson

from consumer.model import Conversion, EventName
from consumer.money import major
from consumer.platforms import oauth
from consumer.platforms.contract import (
    Account,
    Field,
    Grant,
    Limits,
    Platform,
    Probe,
    Request,
    Secret,
    Setup,
    SetupFault,
    Unfit,
)
from consumer.platforms.google_refunds_replies import KNOWN_CODES, judge, judge_trial

DAY_MS = 86_400_000
LATEST_MS = 10_000_000_000_000
ORDER_ID_MAX_CHARACTERS = 64
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)
BY_KEY = oauth.service_account(TOKEN_URI, "https://www.googleapis.com/auth/adwords")
BY_USER = oauth.refresh_token(TOKEN_URI)
"""The user has granted the same scope."""


class _Held(msgspec.Struct):
    """What counts of the token file beside the grant's own."""

    developer_token: str = ""
    private_key: str = ""


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `conversionAdjustments`, as JSON."""
    action, order_id = account.actions.get(conversion.event_name), conversion.order_id
    if not action:
        return Unfit("no_action", "the destination's settings name no conversion action for this event")
    if not order_id.strip() or len(order_id) > ORDER_ID_MAX_CHARACTERS:
        return Unfit("order_id", "the shop's id of the order has not 1 to 64 characters")
    if not max(1, conversion.corrects_event_time) <= conversion.event_time < LATEST_MS:
        return Unfit("event_time", "the refund's time is out of range, or before its purchase's")
    left_minor = conversion.corrects_value_minor - conversion.corrects_refunded_minor
    told: dict[str, object] = {
        "adjustmentType": "RESTATEMENT" if left_minor > 0 else "RETRACTION",
        "conversionAction": f"customers/{account.account}/conversionActions/{action}",
        "orderId": order_id,
        "adjustmentDateTime": _time(conversion.event_time),
    }
    if left_minor > 0:
        told["restatementValue"] = {
            "adjustedValue": major(left_minor, conversion.currency),
            "currencyCode": conversion.currency,
        }
    return orjson.dumps(told)


def _time(at_ms: int) -> str:
    """Its second, or the next one, in UTC.

    >>> _time(1790000000000), _time(1790000000001)
    ('2026-09-21 14:13:20+00:00', '2026-09-21 14:13:21+00:00')
    """
    return f"{datetime.fromtimestamp(-(-at_ms // 1000), UTC):%Y-%m-%d %H:%M:%S}+00:00"


def request(account: Account, events: Sequence[bytes]) -> Request:
    """Whatever is right of it shall be taken: Google demands that of this call."""
    login = account.options.get("login_account")
    return Request(
        f"{account.base_url}/v26/customers/{account.account}:uploadConversionAdjustments",
        {
            "Authorization": account.token.bearer,
            "developer-token": Secret(_held(account.credentials).developer_token),
            "Content-Type": "application/json",
            **({"login-customer-id": login} if login else {}),
        },
        b'{"conversionAdjustments":[%b],"partialFailure":true}' % b",".join(events),
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same, only to be validated."""
    made = request(account, events)
    return msgspec.structs.replace(made, body=b'{"validateOnly":true,' + made.body[1:])


def _held(credentials: Secret) -> _Held:
    try:
        return msgspec.json.decode(credentials.reveal(), type=_Held)
    except msgspec.DecodeError:
        return _Held()


def token_request(credentials: Secret, now_s: float) -> Request | SetupFault:
    """By the key of a service account if there is one, else by a user's refresh token."""
    held = _held(credentials)
    if not held.developer_token:
        return SetupFault("key_file", "the token file must hold JSON, with developer_token beside the rest")
    return (BY_KEY if held.private_key else BY_USER).request(credentials, now_s)


PLATFORM = Platform(
    name="google_refunds",
    version="v26",
    base_url="https://googleads.googleapis.com",
    setup=Setup(
        account=Field(
            "the Google Ads customer id that owns the conversion actions, without dashes", r"[0-9]{10}"
        ),
        credentials="JSON with developer_token, from the API Center of a Google Ads manager account; and beside it all"
        " of a service account's key, whose e-mail has access in Google Ads, or client_id, client_secret and"
        " refresh_token of a user who granted the scope adwords; enable the Google Ads API in the Cloud project",
        action=Field(
            "the id of the conversion action that purchases are told to: ctId in its page's address",
            r"[0-9]+",
        ),
        options={
            "login_account": Field(
                "the manager's customer id, if access is by a manager", r"[0-9]{10}", needed=False
            )
        },
    ),
    limits=Limits(
        events_max=2000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=54 * DAY_MS,
        future_max_ms=0,  # not documented
        refund_after_ms=DAY_MS,  # an adjustment of a younger conversion is refused
        refund_until_ms=54 * DAY_MS,
    ),
    events={EventName.REFUND: "ConversionAdjustment"},
    dedupes_server_events=frozenset({"refund"}),  # by its time, a retraction always: it is there already
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    grant=Grant(token_request, oauth.judge),
    probe=Probe(
        trial,
        judge_trial,
        says="Google found a refund right, and didn't keep it: key and developer token may write to the account;"
        " whether purchases are told to its conversion action only a real one shows",
    ),
)

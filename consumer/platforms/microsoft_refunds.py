"""Microsoft Advertising's refunds by the Campaign Management API, v13 in REST: `OnlineConversionAdjustments/Apply`.

Rules: learn.microsoft.com/advertising, campaign-management-service (ApplyOnlineConversionAdjustments,
OnlineConversionAdjustment, BatchError, ApiFaultDetail) and guides (operation-error-codes, authentication-oauth).

A refund names its purchase by the order id, which tag and Conversions API tell as transactionId, and by the conversion
goal that counts purchases; it carries no customer's data. With all of an order refunded its conversion is retracted.
Else its value is told anew, as what is left of it after all refunds that the order tells of: so one that comes twice
changes nothing. A shop must tell all refunds of an order with each update, as the schema of orders has it; where
it tells the newest alone, nobody knows what is left.

Where sources leave a choice: the reply tells of failed rows alone, so the rest was taken. An error has a symbol and a
number, and the symbol decides, since numbers are used twice. There are codes for adjustments of offline conversions
only; they are read here too. Whether a row is ever refused because its conversion isn't known yet isn't documented; the
name that Microsoft's reports have for that is read as "later". How soon a conversion can be adjusted isn't documented
either: two hours are waited.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
import orjson

from consumer.model import Conversion, EventName
from consumer.money import major
from consumer.platforms import oauth
from consumer.platforms.contract import (
    Accepted,
    Account,
    AllBut,
    BatchRejected,
    EventVerdict,
    Field,
    Grant,
    Later,
    Limits,
    Platform,
    Probe,
    Rejected,
    Reply,
    Request,
    Secret,
    Setup,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unfit,
    Verdict,
    retry_after_s,
)
from consumer.platforms.shared import STATUS_CODES, unread, utc_text

VERSION = "v13"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LATEST_MS = 10_000_000_000_000
USER = oauth.refresh_token(
    "https://login.microsoftonline.com/common/oauth2/v2.0/token",
    {"scope": "https://ads.microsoft.com/msads.manage offline_access"},
)
SYMBOL = re.compile(r"[A-Za-z]\w{2,63}", re.ASCII)
NUMBERS = {
    0: "InternalError",
    105: "InvalidCredentials",
    106: "UserIsNotAuthorized",
    109: "AuthenticationTokenExpired",
    116: "RequestMissingHeaders",
    117: "CallRateExceeded",
    5600: "OfflineConversionsNullOrEmpty",
    5601: "OfflineConversionsLimitExceeded",
    5602: "OfflineConversionIsNull",
    5603: "OfflineConversionMicrosoftClickIdNullOrEmpty",
    5604: "OfflineConversionMicrosoftClickIdInvalid",
    5605: "OfflineConversionNameNullOrEmpty",
    5606: "OfflineConversionNameInvalid",
    5607: "OfflineConversionTimeInvalid",
    5608: "OfflineConversionTimeNullOrEmpty",
    5609: "OfflineConversionTimeOutOfWindow",
    5610: "OfflineConversionValueInvalid",
    5611: "OfflineConversionCurrencyCodeInvalid",
    5612: "OfflineConversionsApplyFailed",
    5613: "OfflineConversionPilotNotEnabledForCustomer",
    5614: "FutureConversionTimeCannotBeSet",
    5615: "OfflineConversionNotAcceptedForGoal",
    5616: "ConversionTimeEarlierThanClickTime",
    5617: "ClickIdDateTimeOutsideGoalConversionWindow",
    5618: "OfflineConversionInvalidAdjustmentType",
    5619: "OfflineConversionAdjustmentTimeNullOrEmpty",
    5620: "OfflineConversionAdjustmentTimeEarlierThanConversionTime",
    5621: "OfflineConversionAdjustmentTimeInvalid",
    5622: "OfflineConversionFutureAdjustmentTimeCannotBeSet",
    5623: "OfflineConversionAdjustmentTimeOutOfWindow",
    5624: "OfflineConversionAdjustmentValueNotExpected",
    5625: "OfflineConversionAdjustmentValueRequired",
    5626: "OfflineConversionCurrencyValueRequired",
    5627: "OfflineConversionRestateRetractNotSupported",
}
"""Of errors that tell a number alone."""

THROTTLING = NUMBERS[117]
THROTTLED_S = 60.0
"""Calls are counted by the minute."""
TOO_MANY = NUMBERS[5601]
RETRACTED = "ConversionAlreadyRetracted"
NOT_WELL = frozenset({NUMBERS[0], NUMBERS[5612]})
LATER_S = {NUMBERS[5615]: 7200.0, "AdjustmentOriginalNotFound": 21_600.0} | dict.fromkeys(
    (*NOT_WELL, THROTTLING), THROTTLED_S
)
SETUP = frozenset(NUMBERS[number] for number in (105, 106, 109, 116, 5605, 5606, 5613)) | frozenset(
    {"UserCompromised", "UserLoginAccessDenied", "PersonalIdentityNotAvailable", "WorkIdentityNotAvailable"}
    | {"PersonalIdentityMigratedToWork", "PersonalIdentityNotAllowedByCustomer", "IdentityTypeMismatch"}
    | {"OperationNotSupported", "InvalidVersion", "InvalidAccount", "ApiVersionNoLongerSupported"}
)
SETUP_STATUSES = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)}
)
KNOWN_CODES = STATUS_CODES | SETUP | LATER_S.keys() | frozenset(NUMBERS.values())


class _Held(msgspec.Struct):
    """What counts of the token file beside the grant's own."""

    developer_token: str = ""


def event(conversion: Conversion, account: Account) -> bytes | Unfit:
    """One element of `OnlineConversionAdjustments`, as JSON."""
    goal = account.actions.get(conversion.event_name)
    if not goal:
        return Unfit("no_action", "the destination's settings name no conversion goal for this event")
    if not conversion.order_id.strip():
        return Unfit("order_id", "the shop gave no id of the order, by which Microsoft knows the purchase")
    if not max(1, conversion.corrects_event_time) <= conversion.event_time < LATEST_MS:
        return Unfit("event_time", "the refund's time is out of range, or before its purchase's")
    left_minor = conversion.corrects_value_minor - conversion.corrects_refunded_minor
    told: dict[str, object] = {
        "AdjustmentType": "Restate" if left_minor > 0 else "Retract",
        "AdjustmentTime": utc_text(conversion.event_time),
        "ConversionName": goal,
        "TransactionId": conversion.order_id,
    }
    if left_minor > 0:
        told["AdjustmentValue"] = major(left_minor, conversion.currency)
        told["AdjustmentCurrencyCode"] = conversion.currency
    return orjson.dumps(told)


def request(account: Account, events: Sequence[bytes]) -> Request:
    """Beside the access token stands the developer's, and whose account it is."""
    return Request(
        f"{account.base_url}/CampaignManagement/{VERSION}/OnlineConversionAdjustments/Apply",
        {
            "Authorization": account.token.bearer,
            "DeveloperToken": Secret(_held(account.credentials).developer_token),
            "CustomerAccountId": account.account,
            "CustomerId": account.options.get("customer_id", ""),
            "Content-Type": "application/json",
        },
        b'{"OnlineConversionAdjustments":[' + b",".join(events) + b"]}",
    )


def trial(account: Account, events: Sequence[bytes]) -> Request:
    """The same without any refund: who may write is told that there is none, a stranger is refused before."""
    del events
    return request(account, ())


def _held(credentials: Secret) -> _Held:
    try:
        return msgspec.json.decode(credentials.reveal(), type=_Held)
    except msgspec.DecodeError:
        return _Held()


def token_request(credentials: Secret, now_s: float) -> Request | SetupFault:
    """By a user's refresh token; the developer's must be there too."""
    if not _held(credentials).developer_token:
        return SetupFault("key_file", "the token file must hold JSON, with developer_token beside the rest")
    return USER.request(credentials, now_s)


class _Error(msgspec.Struct, rename="pascal"):
    code: int | None = None
    error_code: str | None = None
    index: int | None = None

    @property
    def name(self) -> str:
        """Its symbol, or its number's; what can't be a code is none."""
        if self.error_code and SYMBOL.fullmatch(self.error_code):
            return self.error_code
        return "unnamed" if self.code is None else NUMBERS.get(self.code, str(self.code))

    @property
    def place(self) -> int:
        """Of the row in the request; -1 if it is about no row."""
        return -1 if self.index is None else self.index


class _Body(msgspec.Struct, rename="pascal"):
    """A response, or a fault, whose errors stand in one of three lists."""

    partial_errors: list[_Error | None] | msgspec.UnsetType | None = msgspec.UNSET
    errors: list[_Error] | None = None
    operation_errors: list[_Error] | None = None
    batch_errors: list[_Error] | None = None


def judge(reply: Reply) -> Verdict:
    """Decided by each error's symbol, by its number if it has none, then by the status."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Microsoft")
    if faults := [*(body.errors or ()), *(body.operation_errors or ()), *(body.batch_errors or ())]:
        return _fault(faults, reply)
    if body.partial_errors is msgspec.UNSET or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return unread(reply, "Microsoft")
    failed = [error for error in body.partial_errors or () if error is not None]
    return _failed(failed, reply) if failed else Accepted()


def judge_trial(reply: Reply) -> Verdict:
    """Refused for want of refunds alone."""
    verdict = judge(reply)
    return Accepted() if isinstance(verdict, BatchRejected) and verdict.code == NUMBERS[5600] else verdict


def _failed(errors: Sequence[_Error], reply: Reply) -> Verdict:
    """What became of the rows that failed. Of a fault of ours nothing is lost: all rows may be sent again."""
    ours = [error for error in errors if error.name in SETUP or error.place < 0]
    if ours:
        return _fault(ours, reply)
    rows: dict[int, EventVerdict] = {}
    for error in errors:
        if error.name != RETRACTED:
            rows.setdefault(error.place, _row(error.name))
    return AllBut(rows) if rows else Accepted()


def _row(name: str) -> EventVerdict:
    if name in LATER_S:
        return Later(name, LATER_S[name])
    return Rejected(name, "refused by Microsoft")


def _fault(errors: Sequence[_Error], reply: Reply) -> Verdict:
    """The request as a whole, by the first of its errors."""
    name, status = errors[0].name, reply.status
    if name == TOO_MANY or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if name == THROTTLING or status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply) or THROTTLED_S)
    if name in SETUP or status in SETUP_STATUSES:
        return SetupFault(name, "token, account, conversion goal or API version refused by Microsoft")
    if name in LATER_S and name not in NOT_WELL:
        return Later(name, LATER_S[name])
    if name in NOT_WELL or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(name, retry_after_s(reply))
    named = dict.fromkeys(error.place for error in errors if error.place >= 0)
    return BatchRejected(name, "refused by Microsoft", tuple(named))


PLATFORM = Platform(
    name="microsoft_refunds",
    version=VERSION,
    base_url="https://campaign.api.bingads.microsoft.com",
    setup=Setup(
        account=Field("the account's id: `aid` in the address of its pages", r"\d+"),
        credentials="JSON with client_id, client_secret and refresh_token of an app in Microsoft Entra, to which a user"
        " of the account granted the scope msads.manage, and developer_token, from the Developer Portal",
        action=Field("the name of the conversion goal that counts purchases", r"\S(?:.*\S)?"),
        options={"customer_id": Field("the customer's id: `cid` in the address of its pages", r"\d+")},
    ),
    limits=Limits(
        events_max=1000,
        bytes_max=1_000_000,  # not documented
        age_max_ms=90 * DAY_MS,
        future_max_ms=0,  # an adjustment of the future is refused
        refund_after_ms=2 * HOUR_MS,  # not documented
        refund_until_ms=90 * DAY_MS,
    ),
    events={EventName.REFUND: "OnlineConversionAdjustment"},
    dedupes_server_events=frozenset({"refund"}),  # the same value, or none, once more
    known_codes=KNOWN_CODES,
    event=event,
    request=request,
    judge=judge,
    grant=Grant(token_request, USER.judge),
    probe=Probe(
        trial,
        judge_trial,
        says="Microsoft lets the user, the developer and the account in; it was sent no refund, and told no goal",
    ),
)

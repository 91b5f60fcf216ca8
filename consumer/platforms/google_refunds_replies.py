"""What the Google Ads API answers to conversion adjustments: of each by its place, or of the request as a whole.

Rules: developers.google.com/google-ads/api (docs/best-practices/partial-failures and error-types, the reference's
GoogleAdsFailure and ConversionAdjustmentUploadError). An error's code has a family and a name, as in
`{"quotaError": "RESOURCE_EXHAUSTED"}`; the family decides where all of it mean the same.

Where sources leave a choice: that an adjustment is there already, or a more recent one, is as good as taken. What is
wrong with the settings is each event's own fault, as long as another event of the request has none, or another one;
alone it is nobody's. Of the same adjustment twice in a request the second goes again, to be found there already.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from consumer.platforms.contract import (
    Accepted,
    BatchRejected,
    EventVerdict,
    Later,
    PerEvent,
    Rejected,
    Reply,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unconfirmed,
    Verdict,
    retry_after_s,
)
from consumer.platforms.shared import STATUS_CODES, unread

HOUR_S = 3600.0
PASSING_S = 60.0
CODE_MAX_CHARACTERS = 80
"""Of an unknown one; the longest known has 74."""

LIST = frozenset({"conversion_adjustments", "conversionAdjustments"})
PLACE = re.compile(r"conversion_?[aA]djustments\[(\d{1,6})\]", re.ASCII)
NAME = re.compile(r"[a-z_A-Z]{1,64}", re.ASCII)
WAIT = re.compile(r"(\d+(?:\.\d+)?)s", re.ASCII)

DONE = frozenset(
    {"CONVERSION_ALREADY_RETRACTED", "RESTATEMENT_ALREADY_EXISTS", "MORE_RECENT_RESTATEMENT_FOUND"}
)
LATER_S = {
    "TOO_RECENT_CONVERSION": 6 * HOUR_S,
    "TOO_RECENT_CONVERSION_ACTION": 6 * HOUR_S,
    "CONVERSION_NOT_FOUND": 6 * HOUR_S,
    "DUPLICATE_ADJUSTMENT_IN_REQUEST": PASSING_S,
}
SETUP = frozenset(
    {"NO_CONVERSION_ACTION_FOUND", "INVALID_CONVERSION_ACTION_TYPE", "INVALID_CONVERSION_ACTION"}
    | {"CANNOT_RESTATE_CONVERSION_ACTION_THAT_ALWAYS_USES_DEFAULT_CONVERSION_VALUE"}
    | {"CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS", "CUSTOMER_DATA_POLICY_PROHIBITS_ENHANCEMENT"}
    | {"CONVERSION_ACTION_NOT_ELIGIBLE_FOR_ENHANCEMENT"}
    | {"UNSUPPORTED_VERSION", "INVALID_CUSTOMER_ID", "LOGIN_CUSTOMER_ID_PARAMETER_MISSING"}
    | {"DEVELOPER_TOKEN_PARAMETER_MISSING", "CLOUD_PROJECT_NOT_FOUND"}
)
SETUP_FAMILIES = frozenset({"authenticationError", "authorizationError", "headerError"})
OF_THESE_FAMILIES = frozenset(
    {"NOT_ADS_USER", "CUSTOMER_NOT_FOUND", "CLIENT_CUSTOMER_ID_INVALID", "DEVELOPER_TOKEN_INVALID"}
    | {f"OAUTH_TOKEN_{how}" for how in ("INVALID", "EXPIRED", "DISABLED", "REVOKED", "HEADER_INVALID")}
    | {"TWO_STEP_VERIFICATION_NOT_ENROLLED", "ADVANCED_PROTECTION_NOT_ENROLLED"}
    | {"USER_PERMISSION_DENIED", "CUSTOMER_NOT_ENABLED", "SERVICE_ACCESS_DENIED", "PROJECT_DISABLED"}
    | {f"DEVELOPER_TOKEN_{how}" for how in ("NOT_APPROVED", "NOT_ON_ALLOWLIST", "PROHIBITED")}
    | {"INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION", "INVALID_LOGIN_CUSTOMER_ID"}
    | {"ACTION_NOT_PERMITTED", "MISSING_TOS", "INCOMPLETE_SIGNUP"}
)
QUOTA, THROTTLING = (
    "quotaError",
    frozenset({"RESOURCE_EXHAUSTED", "RESOURCE_TEMPORARILY_EXHAUSTED", "RATE_LIMIT_EXCEEDED"}),
)
INTERNAL = "internalError"
NOT_WELL = frozenset({"INTERNAL_ERROR", "TRANSIENT_ERROR", "DEADLINE_EXCEEDED", "ERROR_CODE_NOT_PUBLISHED"})
TOO_MANY, NOT_TOLD = "TOO_MANY_ADJUSTMENTS_IN_REQUEST", "not_told"
OF_AN_EVENT = frozenset(
    {"CONVERSION_EXPIRED", "ADJUSTMENT_PRECEDES_CONVERSION", "TOO_MANY_ADJUSTMENTS"}
    | {"MISSING_ORDER_ID_FOR_WEBPAGE", "ORDER_ID_CONTAINS_PII"}
    | {"GCLID_DATE_TIME_PAIR_AND_ORDER_ID_BOTH_SET", "INVALID_USER_IDENTIFIER"}
    | {"UNSUPPORTED_USER_IDENTIFIER", "CONVERSION_ALREADY_ENHANCED", "DUPLICATE_ENHANCEMENT_IN_REQUEST"}
    | {"INVALID_STRING_DATE_TIME_SECONDS_WITH_OFFSET"}
)
OF_THE_BATCH = frozenset({"INVALID_JOB_ID", "PARTIAL_FAILURE_MODE_REQUIRED"})
REFUSING = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)})
KNOWN_CODES = (
    STATUS_CODES
    | DONE
    | LATER_S.keys()
    | SETUP
    | OF_THESE_FAMILIES
    | THROTTLING
    | NOT_WELL
    | OF_AN_EVENT
    | OF_THE_BATCH
    | {TOO_MANY, NOT_TOLD, "not_of_each", "INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED"}
    | {"ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING", "SERVICE_DISABLED", "UNAVAILABLE", "INTERNAL"}
)


class _Step(msgspec.Struct, rename="camel"):
    field_name: str = ""
    index: int | None = None


class _Location(msgspec.Struct, frozen=True, rename="camel"):
    field_path_elements: list[_Step] = []


class _Delay(msgspec.Struct, frozen=True, rename="camel"):
    retry_delay: str = ""


class _More(msgspec.Struct, frozen=True, rename="camel"):
    quota_error_details: _Delay = _Delay()


class _Fault(msgspec.Struct, frozen=True, rename="camel"):
    """One of GoogleAdsFailure's errors."""

    error_code: dict[str, str] = {}
    location: _Location = _Location()
    details: _More = _More()

    @property
    def family(self) -> str:
        """The kind of its code."""
        return next(iter(self.error_code), "")

    @property
    def code(self) -> str:
        """Its code's name."""
        return next(iter(self.error_code.values()), "")[:CODE_MAX_CHARACTERS] or "no_code"

    @property
    def place(self) -> int | None:
        """Of which adjustment it is, if of one."""
        steps = (each.index for each in self.location.field_path_elements if each.field_name in LIST)
        return next(steps, None)

    @property
    def is_of_setup(self) -> bool:
        """Whether it's for people to put right, and no event's own."""
        return self.family in SETUP_FAMILIES or self.code in SETUP


class _Violation(msgspec.Struct):
    field: str = ""


class _Detail(msgspec.Struct, rename="camel"):
    """Of GoogleAdsFailure, ErrorInfo, BadRequest or RetryInfo, whichever it is."""

    errors: list[_Fault] = []
    reason: str = ""
    field_violations: list[_Violation] = []
    retry_delay: str = ""


class _Error(msgspec.Struct):
    status: str = ""
    details: list[_Detail] = []

    @property
    def faults(self) -> list[_Fault]:
        """All that is told."""
        return [fault for detail in self.details for fault in detail.errors]


class _Body(msgspec.Struct, rename="camel"):
    """Of adjustments, `results` has an empty object where one wasn't taken."""

    results: list[dict[str, msgspec.Raw]] = []
    partial_failure_error: _Error = msgspec.field(default_factory=_Error)
    error: _Error | None = None


def judge(reply: Reply) -> Verdict:
    """Decided by families and codes, then by status, never by text."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Google")
    if body.error is not None:
        return _of_request(body.error, reply)
    if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return unread(reply, "Google")
    if not body.results:
        return Unconfirmed("not_of_each")
    return _of_each(body.results, body.partial_failure_error, reply)


def judge_trial(reply: Reply) -> Verdict:
    """Of what is only validated no results are told; a conversion that isn't there is no fault of the setup."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return unread(reply, "Google")
    if body.error is not None or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return judge(reply)
    faults = [fault for fault in body.partial_failure_error.faults if fault.code not in DONE | LATER_S.keys()]
    setup = [fault for fault in faults if fault.is_of_setup]
    if setup:
        return _setup_fault(setup[0].code)
    return BatchRejected(faults[0].code, "refused by Google") if faults else Accepted()


def _of_each(results: Sequence[dict[str, msgspec.Raw]], error: _Error, reply: Reply) -> Verdict:
    """What no error names and has no result either is as the first error that names nothing, if there is one."""
    named = {fault.place: fault for fault in reversed(error.faults)}
    rest = named.get(None, _Fault({"": NOT_TOLD}))
    found = [named.get(place, None if result else rest) for place, result in enumerate(results)]
    refused = [fault for fault in found if fault is not None]
    if len(refused) == len(found):
        if all(fault.is_of_setup for fault in refused):
            return _setup_fault(refused[0].code)
        if all(fault.family == QUOTA for fault in refused):
            return Throttled(refused[0].code, _wait_s(refused, error, reply))
    return PerEvent(tuple(_of_event(fault, error, reply) for fault in found))


def _of_event(fault: _Fault | None, error: _Error, reply: Reply) -> EventVerdict:
    if fault is None or fault.code in DONE:
        return Accepted()
    if fault.code in LATER_S:
        return Later(fault.code, LATER_S[fault.code])
    if fault.family in {QUOTA, INTERNAL} or fault.code == NOT_TOLD:
        return Later(fault.code, _wait_s([fault], error, reply) or PASSING_S)
    names = [each.field_name for each in fault.location.field_path_elements if each.field_name not in LIST]
    where = f", at {'.'.join(names)}" if names and all(map(NAME.fullmatch, names)) else ""
    return Rejected(fault.code, f"refused by Google{where}")


def _of_request(error: _Error, reply: Reply) -> Verdict:
    faults = error.faults
    families, codes = {fault.family for fault in faults}, {fault.code for fault in faults}
    reasons = (each.reason for each in error.details)
    told = (*(fault.code for fault in faults), *reasons, error.status)
    name = next(filter(None, told), f"http_{reply.status}")[:CODE_MAX_CHARACTERS]
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or TOO_MANY in codes:
        return TooLarge(name)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or QUOTA in families or name in THROTTLING:
        return Throttled(name, _wait_s(faults, error, reply))
    if any(fault.is_of_setup for fault in faults) or reply.status in REFUSING:
        return _setup_fault(name)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or INTERNAL in families:
        return Transient(name, _wait_s(faults, error, reply))
    return BatchRejected(name, "refused by Google", _culprits(error))


def _culprits(error: _Error) -> tuple[int, ...]:
    """Places that errors name, or fields that Google can't read."""
    fields = (PLACE.match(each.field) for detail in error.details for each in detail.field_violations)
    places = [fault.place for fault in error.faults if fault.place is not None]
    return tuple(dict.fromkeys([*places, *(int(field[1]) for field in fields if field)]))


def _wait_s(faults: Sequence[_Fault], error: _Error, reply: Reply) -> float | None:
    """What Retry-After asks for, else the quota's own delay, else RetryInfo."""
    asked = retry_after_s(reply)
    delays = [fault.details.quota_error_details.retry_delay for fault in faults]
    waits = (WAIT.fullmatch(delay) for delay in (*delays, *(each.retry_delay for each in error.details)))
    return next((float(wait[1]) for wait in waits if wait), None) if asked is None else asked


def _setup_fault(code: str) -> SetupFault:
    return SetupFault(
        code,
        "Google refused the token, the developer token, the account, its conversion action or an agreement",
    )

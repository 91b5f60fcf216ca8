"""What the Data Manager API answers: to events at once, and about them later.

Rules: developers.google.com/data-manager/api (devguides/concepts/understand-errors, devguides/diagnostics, and the
reference's ErrorReason and ProcessingErrorReason).

Where sources leave a choice: a Merchant Center id comes from our settings, so a wrong one is no event's fault. Whether
the places of what is found wrong later begin with 0 isn't documented, nor if they are the request's or a destination's:
the request's, from 0, is how its words are read.
"""

import re
from http import HTTPStatus

import msgspec

from consumer.platforms.contract import (
    Accepted,
    BatchRejected,
    Diagnosed,
    LateFault,
    Later,
    Reply,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Undiagnosed,
    Verdict,
    retry_after_s,
)

PLACE = re.compile(r"events(?:\.events)?\[(\d{1,6})\]", re.ASCII)
WAIT = re.compile(r"(\d+(?:\.\d+)?)s", re.ASCII)

THROTTLING = frozenset({"RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"})
SETUP = frozenset(
    {"PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND", "UNIMPLEMENTED", "NOT_ALLOWLISTED"}
    | {"INVALID_DESTINATION", "INVALID_CONVERSION_ACTION_ID", "INVALID_CONVERSION_ACTION_TYPE"}
    | {"TERMS_AND_CONDITIONS_NOT_SIGNED", "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED"}
    | {"DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS"}
    | {"DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS"}
    | {"OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH", "DESTINATION_ACCOUNT_TYPE_MISMATCH"}
    | {"EVENT_SOURCE_AND_DESTINATION_MISMATCH", "INVALID_PROPERTY_TYPE", "INVALID_STREAM_TYPE"}
    | {"CUSTOM_VARIABLE_NOT_ENABLED", "CUSTOM_VARIABLE_NOT_FOUND", "INVALID_MERCHANT_ID"}
)
NOT_YET = frozenset({"CONVERSION_ACTION_TOO_RECENTLY_CREATED"})
NOT_YET_S = 6 * 3600.0
"""Not documented here; so long the older API asks to wait."""
NOT_WELL = frozenset(
    {"INTERNAL_ERROR", "DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED"}
)
OF_AN_EVENT = frozenset(
    {"REQUIRED_FIELD_MISSING", "INVALID_FORMAT", "INVALID_HEX_ENCODING", "INVALID_BASE64_ENCODING"}
    | {"INVALID_SHA256_FORMAT", "INVALID_POSTAL_CODE", "INVALID_REGION_CODE", "INVALID_COUNTRY_CODE"}
    | {"INVALID_CURRENCY_CODE", "INVALID_NUMBER_FORMAT", "INVALID_ENUM_VALUE", "INVALID_EVENT"}
    | {"INVALID_EVENT_NAME", "RESERVED_NAME_USED", "NO_IDENTIFIERS_PROVIDED", "EVENT_TIME_INVALID"}
    | {"TOO_MANY_USER_IDENTIFIERS", "FIELD_VALUE_TOO_LONG", "FIELD_VALUE_TOO_SHORT", "TOO_MANY_ELEMENTS"}
    | {"INVALID_COUPON_CODE", "BOTH_CLIENT_ID_AND_APP_INSTANCE_ID_NOT_ALLOWED"}
    | {"CUSTOM_VARIABLE_VALUE_CONTAINS_PII", "INVALID_AD_IDENTIFIER_FOR_ACCOUNT", "INVALID_ARGUMENT"}
)
OF_THE_BATCH = frozenset(
    {"TOO_MANY_EVENTS", "TOO_MANY_DESTINATIONS", "DUPLICATE_DESTINATION_REFERENCE"}
    | {"MULTIPLE_DESTINATIONS_FOR_GOOGLE_ANALYTICS_EVENT"}
)
NEVER_TOLD = frozenset({"INVALID_REQUEST_ID", "REQUEST_TOO_OLD"})
DONE = frozenset({"SUCCESS", "PARTIAL_SUCCESS", "FAILED"})
COUNT_ALL_THE_SAME = frozenset({"DUPLICATE_GCLID", "DUPLICATE_TRANSACTION_ID"})
FOREIGN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, *range(300, 400)})
KNOWN_CODES = (
    frozenset(f"http_{status}" for status in (401, 403, 404, 413, 429, 500, 502, 503, 504))
    | THROTTLING
    | SETUP
    | NOT_YET
    | NOT_WELL
    | OF_AN_EVENT
    | OF_THE_BATCH
)


class _Violation(msgspec.Struct):
    field: str = ""
    reason: str = ""


class _Detail(msgspec.Struct, rename="camel"):
    """Of ErrorInfo, BadRequest or RetryInfo, whichever it is."""

    reason: str = ""
    field_violations: list[_Violation] = []
    retry_delay: str = ""


class _Error(msgspec.Struct):
    status: str = ""
    details: list[_Detail] = []

    @property
    def reasons(self) -> list[str]:
        """The fields' own, the error's, and what gRPC calls it."""
        of_fields = [each.reason for detail in self.details for each in detail.field_violations]
        return [
            each for each in (*of_fields, *(detail.reason for detail in self.details), self.status) if each
        ]

    def first_of(self, kind: frozenset[str]) -> str:
        """The first reason that is of a kind."""
        return next((reason for reason in self.reasons if reason in kind), "")


class _Body(msgspec.Struct, rename="camel"):
    error: _Error | None = None
    request_id: str = ""


def judge(reply: Reply) -> Verdict:
    """Decided by reasons, then by status, never by text; a violation's field names its event."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unread(reply)
    if body.error is not None:
        return _judge_error(body.error, reply)
    if reply.status < HTTPStatus.MULTIPLE_CHOICES and body.request_id:
        return Accepted(body.request_id)
    return _unread(reply)


def judge_trial(reply: Reply) -> Verdict:
    """Of a request that is only validated, errors are told and no results: not even an id."""
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unread(reply)
    found_right = body.error is None and reply.status < HTTPStatus.MULTIPLE_CHOICES
    return Accepted() if found_right else judge(reply)


def _unread(reply: Reply) -> Verdict:
    """A body that isn't Google's: a proxy's page, or nothing. Few statuses speak for themselves."""
    name = f"http_{reply.status}"
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if reply.status in FOREIGN:
        return SetupFault(name, "answered without Google's own error: is the address Google's?")
    return Transient(name, retry_after_s(reply))


def _judge_error(error: _Error, reply: Reply) -> Verdict:
    name = next(iter(error.reasons), f"http_{reply.status}")[:64]
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or error.first_of(THROTTLING):
        return Throttled(error.first_of(THROTTLING) or name, _wait_s(error, reply))
    if (setup := error.first_of(SETUP)) or reply.status in FOREIGN:
        return SetupFault(setup or name, "account, conversion action, access or agreement refused by Google")
    if not_yet := error.first_of(NOT_YET):
        return Later(not_yet, NOT_YET_S)
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.first_of(NOT_WELL):
        return Transient(name, _wait_s(error, reply))
    return BatchRejected(name, "refused by Google", _culprits(error))


def _culprits(error: _Error) -> tuple[int, ...]:
    fields = (PLACE.match(each.field) for detail in error.details for each in detail.field_violations)
    return tuple(dict.fromkeys(int(field[1]) for field in fields if field))


def _wait_s(error: _Error, reply: Reply) -> float | None:
    """What Retry-After asks for, else RetryInfo."""
    asked = retry_after_s(reply)
    waits = (WAIT.fullmatch(detail.retry_delay) for detail in error.details)
    return next((float(wait[1]) for wait in waits if wait), None) if asked is None else asked


class _Count(msgspec.Struct, rename="camel"):
    reason: str = ""
    record_count: int = 0
    record_indices: list[int] = []


class _Counts(msgspec.Struct, frozen=True, rename="camel"):
    error_counts: list[_Count] = []


class _Ingested(msgspec.Struct, frozen=True, rename="camel"):
    record_count: int = 0


class _Destination(msgspec.Struct, rename="camel"):
    request_status: str = ""
    error_info: _Counts = _Counts()
    events_ingestion_status: _Ingested = _Ingested()


class _Status(msgspec.Struct, rename="camel"):
    error: _Error | None = None
    request_status_per_destination: list[_Destination] = []


def diagnose(reply: Reply) -> Diagnosed | Undiagnosed:
    """Done once all destinations are. Numbers may come as texts, as JSON of 64 bits has them."""
    try:
        told = msgspec.json.decode(reply.body, type=_Status, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = _Status()
    if told.error is not None:
        lost = told.error.first_of(NEVER_TOLD)
        return Undiagnosed(
            lost or next(iter(told.error.reasons), f"http_{reply.status}")[:64], lost=bool(lost)
        )
    destinations = told.request_status_per_destination
    if reply.status != HTTPStatus.OK or not destinations:
        return Undiagnosed(f"http_{reply.status}")
    waiting = [each.request_status for each in destinations if each.request_status not in DONE]
    if waiting:
        return Undiagnosed(waiting[0][:64] or "PROCESSING")
    return Diagnosed(tuple(fault for each in destinations for fault in _faults(each)))


def _faults(destination: _Destination) -> list[LateFault]:
    counts = destination.error_info.error_counts
    if not counts and destination.request_status == "FAILED":
        return [LateFault("FAILED", destination.events_ingestion_status.record_count)]
    return [
        LateFault(
            reason := each.reason.removeprefix("PROCESSING_ERROR_").removeprefix("REASON_")[:64],
            each.record_count,
            tuple(each.record_indices),
            counts=reason in COUNT_ALL_THE_SAME,
        )
        for each in counts
    ]

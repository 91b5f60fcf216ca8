"""Requests that await their diagnosis: when they are asked about, and whom a fault concerns."""

import hypothesis.strategies as st
from hypothesis import given

from consumer.deliver.docket import Docket, Noted, late_receipts
from consumer.deliver.settle import Progress
from consumer.model import Receipt
from consumer.platforms.contract import Account, Diagnosed, Diagnosis, LateFault, Reply, Request, Undiagnosed

T0_MS = 1_790_000_000_000


def _request(account: Account, request_id: str) -> Request:
    return Request(f"{account.base_url}/{request_id}", {}, b"", method="GET")


def _judge(_: Reply) -> Diagnosed | Undiagnosed:
    return Diagnosed()


DIAGNOSIS = Diagnosis(
    first_after_s=100, again_after_s=50, give_up_after_s=300, request=_request, judge=_judge
)


def noted(
    index: int, request_id: str = "r", accepted_s: float = 0, progress: Progress | None = None
) -> Noted:
    """A receipt of the event at a place of a request."""
    receipt = Receipt(
        "capi.conversions",
        0,
        index,
        f"purchase:{index}",
        "purchase",
        str(index),
        "google-us",
        "google",
        "delivered",
        request_id=request_id,
        request_index=index,
        settled_at_ms=T0_MS + round(accepted_s * 1000),
    )
    return Noted(receipt, progress or Progress(0), index)


def test_asked_in_the_order_of_their_time() -> None:
    """A request is due its platform's time after it was accepted, the oldest first, and again a while later."""
    docket = Docket(DIAGNOSIS)
    for request_id, accepted_s in (("b", 10), ("a", 5)):
        docket.note(noted(0, request_id, accepted_s))
        docket.note(noted(1, request_id, accepted_s))
    assert (len(docket), docket.held) == (2, 4)
    assert docket.due(T0_MS + 104_999) == ""
    assert docket.due(T0_MS + 200_000) == "a"
    assert docket.again("a", T0_MS + 200_000)
    assert docket.due(T0_MS + 200_000) == "b"
    assert [each.receipt.request_index for each in docket.close("b")] == [0, 1]
    assert docket.due(T0_MS + 249_999) == ""
    assert docket.due(T0_MS + 250_000) == "a"
    assert (len(docket), docket.held) == (1, 2)


def test_given_up_in_the_end() -> None:
    """What the platform no longer knows of isn't asked about for ever."""
    docket = Docket(DIAGNOSIS)
    docket.note(noted(0))
    assert docket.again("r", T0_MS + 250_000)
    assert not docket.again("r", T0_MS + 250_001)
    assert docket.close("r")
    assert docket.again("r", T0_MS)
    assert docket.close("r") == []


def test_lost_partitions_are_forgotten() -> None:
    """What is another's now is asked about there."""
    docket, ours, theirs = Docket(DIAGNOSIS), Progress(0), Progress(0)
    docket.note(noted(0, "both", progress=ours))
    docket.note(noted(1, "both", progress=theirs))
    docket.note(noted(0, "theirs", progress=theirs))
    theirs.lost = True
    docket.drop_lost()
    assert (len(docket), docket.held) == (1, 1)
    assert [each.receipt.request_index for each in docket.close("both")] == [0]


def test_faults_by_index() -> None:
    """Those named have a receipt that is late, with the platform's own reason; what counts all the same has none."""
    found = Diagnosed(
        (LateFault("EVENT_TOO_OLD", 2, (0, 3)), LateFault("DUPLICATE_TRANSACTION_ID", 1, (1,), counts=True))
    )
    late = list(late_receipts([noted(index) for index in range(4)], found, T0_MS + 5))
    assert [receipt.request_index for receipt in late] == [0, 3]
    for receipt in late:
        assert (receipt.outcome, receipt.reason, receipt.code, receipt.late) == (
            "rejected",
            "late",
            "EVENT_TOO_OLD",
            True,
        )
        assert receipt.settled_at_ms == T0_MS + 5


def test_faults_by_count_alone() -> None:
    """Without indices a fault is everybody's if it is told of all, and nobody's in particular otherwise."""
    of = [noted(index) for index in range(4)]
    assert len(list(late_receipts(of, Diagnosed((LateFault("NO_CONSENT", 4),)), T0_MS))) == 4
    assert not list(late_receipts(of, Diagnosed((LateFault("NO_CONSENT", 3),)), T0_MS))


@given(
    indices=st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=4),
    here=st.sets(st.integers(0, 9), max_size=10),
)
def test_an_event_is_late_once(indices: list[list[int]], here: set[int]) -> None:
    """However many faults name an event, it has one late receipt; events of other processes have none here."""
    faults = tuple(LateFault(f"R{place}", len(named), tuple(named)) for place, named in enumerate(indices))
    late = list(late_receipts([noted(index) for index in sorted(here)], Diagnosed(faults), T0_MS))
    told = [receipt.request_index for receipt in late]
    assert len(told) == len(set(told))
    named = {index for each in indices for index in each}
    assert named & here <= set(told)

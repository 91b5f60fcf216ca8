"""The report as people read it, and the progress before it."""

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from consumer.demo.facts import Facts
from consumer.demo.show import show
from consumer.emulators.oracle import Held, Sum


def printed(facts: Facts, width: int) -> list[str]:
    """The lines of the report on a terminal of this width, without colours."""
    console = Console(file=io.StringIO(), width=width)
    console.print(show(facts, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def line(lines: list[str], begins: str) -> list[str]:
    """The words of the first line that begins so, behind that."""
    found = next(each for each in lines if each.strip().startswith(begins))
    return found.strip().removeprefix(begins).split()


def test_the_proof_is_there_line_by_line(facts: Facts) -> None:
    """Paid orders, each cause, what must have arrived and what the platform holds: counts and money."""
    lines, wanted = printed(facts, 200), facts.destinations["meta"].wanted
    assert line(lines, "paid orders")[0] == str(wanted.paid.count)
    assert line(lines, "- consent denied: skipped")[0] == str(wanted.excluded["consent_denied"].count)
    assert line(lines, "= must have arrived")[0] == str(wanted.eligible.count)
    holds = line(lines, "what meta holds after dedupe")
    assert holds == line(lines, "= must have arrived")
    assert f"{wanted.eligible.money['JPY']:,}" in holds
    assert set(line(lines, "difference")) <= {"0", "0.00", "0.000"}
    causes = sum(each.strip().startswith("- ") and ": " in each and "consent " in each for each in lines)
    assert causes
    assert any("It adds up" in each for each in lines)


def test_event_ids_to_look_at_are_named_with_an_example(facts: Facts) -> None:
    """A place in a topic leads to the record."""
    assert any("own_id 2 (such as orders:3:14)" in each for each in printed(facts, 200))


def test_coverage_of_purchases_is_a_table(facts: Facts) -> None:
    """The score and the shares, as they are in the report for scripts."""
    lines = printed(facts, 80)
    assert (line(lines, "score"), line(lines, "email"), line(lines, "phone")) == (["4.0"], ["67%"], ["100%"])


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_currency_is_left_out_on_a_narrow_screen(facts: Facts, width: int) -> None:
    """The tables are split, no amount is cut, and no line is wider than the screen."""
    lines, wanted = printed(facts, width), facts.destinations["meta"].wanted
    words = {word for each in lines for word in each.split()}
    assert set(wanted.paid.money) <= words
    assert f"{wanted.paid.money['JPY']:,}" in words
    assert max(map(len, lines)) <= width
    assert not any("…" in each for each in lines)
    assert any("- consent denied: skipped " in each for each in lines), "labels are not broken"
    assert any("- impossible or future date: a letter " in each for each in lines)


def test_endings_and_their_sum_stand_beside_what_was_read(facts: Facts) -> None:
    """The two sums are equal, and each reason of a filter or a letter is told."""
    lines = printed(facts, 120)
    assert line(lines, "with an ending") == line(lines, "read")
    assert any("state_pending 40" in each for each in lines)
    assert any("undecodable 3" in each for each in lines)


def test_a_disagreement_is_shown_with_its_sentences(facts: Facts) -> None:
    """One yen too much is a difference of one yen, and a sentence."""
    meta = facts.destinations["meta"]
    there = meta.held.purchases
    more = Held(
        meta.held.events,
        Sum(there.count, {**there.money, "JPY": there.money["JPY"] + 1}),
        meta.held.refunds,
    )
    lines = printed(replace(facts, destinations={"meta": replace(meta, held=more)}), 200)
    assert "1" in line(lines, "difference")
    assert any("It does not add up; 1 to be explained" in each for each in lines)
    assert any("meta: purchases in JPY" in each for each in lines)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_many_destinations_are_compared_in_one_table(facts: Facts, width: int) -> None:
    """Each has a row with what must be there and what is; the full proof is that of one, and of those that differ."""
    meta = facts.destinations["meta"]
    there = meta.held.purchases
    less = Held(meta.held.events, Sum(there.count - 1, there.money), meta.held.refunds)
    many = {**{f"shop-{n}": meta for n in range(9)}, "meta": meta, "off": replace(meta, held=less)}
    lines = printed(replace(facts, destinations=many), width)
    due, held, differ, *_ = [row for row in map(str.split, lines) if row and row[0] == "off"][-1][1:]
    assert (int(due), int(held), int(differ)) == (there.count, there.count - 1, 0)
    proofs = [each.strip() for each in lines if each.startswith("Proof at ")]
    assert [each.split()[2].rstrip(":") for each in proofs] == ["meta", "off"]
    assert max(map(len, lines)) <= width
    assert not any("…" in each for each in lines)

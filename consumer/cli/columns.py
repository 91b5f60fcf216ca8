"""Rows for people: columns as wide as what stands in them."""

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lines under a head; numbers stand on the right.

    >>> print(columns(("letters", "reason"), [(7, "rejected"), (12, "expired")]))
    letters  reason
          7  rejected
         12  expired
    """
    on_right = [any(isinstance(each, int) for each in column) for column in zip(*rows, strict=True)]
    told = [list(head), *([str(each) for each in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, on_right, strict=True)
        ).rstrip()
        for row in told
    )

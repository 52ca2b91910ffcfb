"""Tables in plain text, for whatever prints itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Lines of aligned columns; those named in `left` hold text, the others numbers."""
    lines = [list(titles), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    lines.insert(1, ["─" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def sizes(shape: Sequence[int]) -> str:
    """A shape as 3×3×64."""
    return "×".join(str(size) for size in shape)


def short(value: float) -> str:
    """Three significant digits, and a plain 0 and 1."""
    return f"{value:.3g}"

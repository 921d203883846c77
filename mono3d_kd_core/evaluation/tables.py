"""Tables in Markdown that are also aligned for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Return a table whose first `text_columns` columns are aligned to the left, the others to the right."""
    widths = [max(len(cells[k]) for cells in (header, *rows)) for k in range(len(header))]
    widths = [max(width, 2) for width in widths]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if k < text_columns else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths))
        )
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * width}-" if k < text_columns else f"{'-' * width}:" for k, width in enumerate(widths)]
    return "\n".join([line(header), f"|-{'|-'.join(rule)}|", *(line(row) for row in rows)])


def number(value: float, digits: int = 2) -> str:
    """Return a number for a table; a dash where there is none (NaN)."""
    return "-" if value != value else f"{value:.{digits}f}"

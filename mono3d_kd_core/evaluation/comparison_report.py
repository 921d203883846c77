"""A comparison of runs as Markdown."""

from __future__ import annotations

from mono3d_kd_core.evaluation.comparison_result import Comparison, RunFigure
from mono3d_kd_core.evaluation.tables import markdown_table


def comparison_report(result: Comparison) -> str:
    """Return figures of all runs, a verdict for every pair, and what to keep in mind."""
    targets = list(next(iter(result.figures.values())))
    rows = [
        [name, str(len(figures[targets[0]].seeds)), *(_figure(figures[target]) for target in targets)]
        for name, figures in result.figures.items()
    ]
    parts = [
        f"Average precision (R40) in percent on {result.frames} frames, mean ± standard deviation over seeds", "",
        markdown_table(["run", "seeds", *map(str, targets)], rows), "",
    ]  # fmt: skip
    for target in targets:
        parts += [f"{target}:", *(f"- {each.verdict}" for each in result.differences if each.target == target), ""]
    parts.append(f"In verdicts ± is half of the 95 % interval, from {result.samples} draws of the frames.")
    if len(result.differences) > 1:
        parts.append(f"Of {len(result.differences)} such intervals one in twenty misses by chance.")
    return "\n".join(parts)


def _figure(figure: RunFigure) -> str:
    return f"{figure.mean:.2f}" if len(figure.seeds) == 1 else f"{figure.mean:.2f} ± {figure.std:.2f}"

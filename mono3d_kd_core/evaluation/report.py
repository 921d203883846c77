"""KITTI's figures as a table that a person can read, with what a figure alone might hide."""

from __future__ import annotations

from mono3d_kd_core.evaluation.kitti_ap import KittiResult
from mono3d_kd_core.evaluation.kitti_rules import metrics_of
from mono3d_kd_core.evaluation.tables import markdown_table, number


def ap_report(result: KittiResult) -> str:
    """Return the average precisions of all classes, easy / moderate / hard, and remarks on them, in Markdown."""
    rows = []
    for name, each in result.classes.items():
        for position, metric in enumerate(metrics_of(name)):
            curve = each.curves.get(metric.name)
            averages = [] if curve is None else [*curve.r40, *curve.r11]
            cells = [number(value) for value in averages] or ["-"] * 6
            rows.append([name if position == 0 else "", metric.name, *cells])
    header = ["", "", "R40 easy", "mod.", "hard", "R11 easy", "mod.", "hard"]
    title = f"KITTI average precision in percent, {result.frames} frames"
    return "\n".join([title, "", markdown_table(header, rows, text_columns=2), "", *_remarks(result)])


def _remarks(result: KittiResult) -> list[str]:
    lines = []
    for name, each in result.classes.items():
        easy, moderate, hard = each.objects
        lines.append(f"- {name}: {easy} easy, {moderate} moderate, {hard} hard objects; {each.detections} detections.")
        if each.detections == 0:
            lines.append("  Nothing was detected, which is 0.")
        if 0 < easy < 41:
            lines.append("  With fewer than 41 objects a level cannot reach 100: the rules sample one recall per object.")
        absent = [metric.name for metric in metrics_of(name) if metric.name not in each.curves]
        if absent:
            lines.append(f"  No {', '.join(absent)}: the detections carry no such boxes, or an orientation of -10.")
    return lines

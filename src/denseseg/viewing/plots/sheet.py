"""A picture of the cases of a set that are odd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.finding import Finding
from denseseg.viewing.plots.style import contact_sheet, draw_landmarks, draw_masks, styled, write_figure

MOST = 12  # pictures
COLUMNS = 3


@styled
def draw_sheet(cases: CaseSet, findings: Sequence[Finding], path: str | Path) -> Path | None:
    """Write one PNG of the worst cases with landmarks and masks, above each what is odd. None where no case is named.

    A white dot is the first landmark of a structure.
    """
    known = {case.id: case for case in cases}
    pictured = [(known.get(finding.case) or known.get(finding.example), finding) for finding in findings]
    shown = [(case, finding) for case, finding in pictured if case is not None][:MOST]
    if not shown:
        return None
    panels = [(case.image, case.spacing, _title(finding)) for case, finding in shown]
    figure, axes = contact_sheet(panels, COLUMNS, gap=0.75)
    for ax, (case, _) in zip(axes, shown, strict=True):
        if case.masks is not None:
            draw_masks(ax, case.masks, case.anatomy, alpha=0.2)
        draw_landmarks(ax, case.landmarks, case.anatomy, size=2.0)
        first = case.landmarks[[own.start for own in case.anatomy.slices.values()]]
        ax.scatter(first[:, 0], first[:, 1], s=10, color="white", edgecolors="black", linewidths=0.5, zorder=4)
    return write_figure(figure, Path(path), dpi=150)


def _title(finding: Finding) -> str:
    """Three lines of what fits above a picture."""
    return "\n".join(wrap(f"{finding.case}: {finding.what}", 32, max_lines=3, placeholder=" ..."))

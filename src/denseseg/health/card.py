"""All that is odd in a set, worst first."""

from __future__ import annotations

from denseseg.cases.case_set import CaseSet
from denseseg.health.finding import Finding
from denseseg.health.images import flat_findings, image_findings
from denseseg.health.landmarks import landmark_findings
from denseseg.health.masks import mask_findings
from denseseg.health.norm import Norm
from denseseg.health.tables import table_findings


def check_cases(cases: CaseSet) -> list[Finding]:
    """What is odd: landmarks in wrong places, masks that do not fit their outlines, images that are mirrored, turned, inverted or
    without contrast, copies, patients in two parts, spacings of another unit. The worst comes first.

    Cases are compared with their own set, so at least 8 are needed for that, and a fault that all of them share is not seen. Masks
    and the image of a case whose landmarks are odd are not judged, since there is nothing to judge them by.
    """
    findings = [*table_findings(cases), *flat_findings(cases)]
    norm = Norm.of(cases)
    if norm is not None:
        findings += landmark_findings(cases, norm)
    named = {finding.case for finding in findings}
    sound = cases.subset(i for i, case in enumerate(cases) if case.id not in named)
    findings += mask_findings(sound)
    if norm is not None and len(sound):
        findings += image_findings(sound, norm)
    return sorted(findings, key=lambda finding: -finding.score)

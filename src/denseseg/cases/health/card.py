"""All that is odd in a set, worst first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.alone import order_findings, own_findings
from denseseg.cases.health.finding import Finding
from denseseg.cases.health.images import flat_findings, image_findings
from denseseg.cases.health.landmarks import landmark_findings
from denseseg.cases.health.masks import mask_findings
from denseseg.cases.health.norm import Norm
from denseseg.cases.health.sides import one_sided
from denseseg.cases.health.tables import missing_findings, table_findings


def check_cases(cases: CaseSet) -> list[Finding]:
    """What is odd: landmarks in wrong places, masks that do not fit their outlines, images that are mirrored, turned, inverted or
    without contrast, copies, patients in two parts, spacings of another unit, tables that end early. The worst comes first.

    Each case is compared with its own image and the names of its structures, and with the others of its set where there are at
    least 8. What half of a set shares is told once. Masks and the image of a case whose landmarks are odd are not judged, since
    there is nothing to judge them by. A hand that was mirrored together with its landmarks is noticed where nearly all others are
    of one side, or where a column `laterality` (or `side`) says left or right; else nothing tells it from the other hand.
    """
    findings = [*table_findings(cases), *flat_findings(cases), *missing_findings(cases)]
    cases, on_the_wrong_side = one_sided(cases)
    findings += on_the_wrong_side
    norm = Norm.of(cases)
    if norm is not None:
        findings += landmark_findings(_unnamed(cases, findings), norm)
    left = _unnamed(cases, findings)
    own = {finding.case: finding for finding in own_findings(left)}
    if norm is not None and len(own) < len(left) / 2:  # else the others are no measure
        own |= {finding.case: finding for finding in image_findings(left, norm)}
    findings += own.values()
    if norm is None:
        findings += order_findings(_unnamed(cases, findings))
    findings += mask_findings(_unnamed(cases, findings))
    return sorted(_shared(findings, cases), key=lambda finding: -finding.score)


def _unnamed(cases: CaseSet, findings: list[Finding]) -> CaseSet:
    """The cases of which nothing odd is known yet."""
    named = {finding.case for finding in findings}
    return cases.subset(i for i, case in enumerate(cases) if case.id not in named)


def _shared(findings: list[Finding], cases: CaseSet) -> Iterator[Finding]:
    """The findings, with those that half of the cases share as one."""
    alike: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        alike[re.sub(r"[\d.]+", "", finding.what)].append(finding)
    for group in alike.values():
        if len(group) < 2 or len(group) < len(cases) / 2:
            yield from group
            continue
        first = group[0]
        count = f"{len(group)} of {len(cases)} cases, such as {first.case}: {first.what}"
        yield Finding(first.score, f"all of {cases.name}", count, first.mend, first.case)

"""Tables as text."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from denseseg.evaluation.tables import format_mean_sd, to_latex, to_markdown


def test_export():
    table = pd.DataFrame({"a|b": ["5.8 ± 4.0"], "c_d": ["1 %"]}, index=pd.Index(["lungs & heart"], name="group"))
    header, rule, row = to_markdown(table).splitlines()
    assert re.split(r" +\| +", header.strip("| ")) == ["group", "a\\|b", "c_d"]
    assert set(rule) <= set("|:-")
    assert re.split(r" +\| +", row.strip("| ")) == ["lungs & heart", "5.8 ± 4.0", "1 %"]
    latex = to_latex(table)
    assert r"lungs \& heart & 5.8 $\pm$ 4.0 & 1 \% \\" in latex and r"\begin{tabular}{lrr}" in latex and r"c\_d" in latex
    assert [format_mean_sd(1.25, None), format_mean_sd(np.nan, 1), format_mean_sd(2, 0.5, 2)] == ["1.2", "-", "2.00 ± 0.50"]

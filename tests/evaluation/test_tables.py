"""Tables as text."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from denseseg.evaluation.tables import as_text, format_mean_sd, to_latex, to_markdown


def test_export():
    table = pd.DataFrame({"a|b": ["5.8 ± 4.0"], "c_d": ["1 %"]}, index=pd.Index(["lungs & heart"], name="group"))
    header, rule, row = to_markdown(table).splitlines()
    assert re.split(r" +\| +", header.strip("| ")) == ["group", "a\\|b", "c_d"]
    assert set(rule) <= set("|:-")
    assert re.split(r" +\| +", row.strip("| ")) == ["lungs & heart", "5.8 ± 4.0", "1 %"]
    latex = to_latex(table)
    assert r"lungs \& heart & 5.8 $\pm$ 4.0 & 1 \% \\" in latex and r"\begin{tabular}{lrr}" in latex and r"c\_d" in latex
    assert [format_mean_sd(1.25, None), format_mean_sd(np.nan, 1), format_mean_sd(2, 0.5, 2)] == ["1.2", "-", "2.00 ± 0.50"]


def test_text_of_a_file_is_no_markup():
    assert as_text("GPU_2, 80 GB (x4); it's 5.0 ± 1 %") == "GPU_2, 80 GB (x4); it's 5.0 ± 1 %"
    for text in (
        "<script>",
        "*a*",
        "_a_",
        "`a`",
        "[a](b)",
        "{{ a }}",
        "{cite}`a`",
        "a|b",
        "$a$",
        "# a",
        "a\n\nb",
        "![a](b)",
        "&lt;",
    ):
        plain = re.sub(r"&#\d+;", "", as_text(text))
        assert not set(plain) & set("<>*`[]{}|$#!&\n") and plain[0] != "_"
    assert "<script>" not in to_markdown(pd.DataFrame({"<script>": ["<script>\n\n# a"]}))

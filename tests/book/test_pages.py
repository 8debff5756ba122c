"""The book's pages and the README: every link, citation and term resolves, and the results page tells toys from evidence."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from helpers import README, code_blocks, readme_python
from pybtex.database import BibliographyData, parse_file
from records import box_record

from denseseg.course.results_page import (
    PUBLIC_DATASETS,
    TOY,
    errors_by_dataset,
    groups_of_runs,
    main,
    published_rows,
    published_table,
    render_results,
)
from denseseg.errors import DataError, validated
from denseseg.experiments.experiment import recipe_of
from denseseg.experiments.published import published
from denseseg.experiments.record import Record, Spec, StudyRecord
from denseseg.experiments.store import read_records, write_record, write_study
from denseseg.files import plain

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "book").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TERM = re.compile(r"\{term\}`([^`]+)`", re.DOTALL)
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")


def markdown_of(path: Path) -> str:
    """The text of a page, or of a notebook's markdown cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def glossary_terms() -> list[str]:
    body = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8").split("```{glossary}")[1].split("```")[0]
    return [line.strip() for line in body.splitlines() if line and not line.startswith((" ", ":"))]


@pytest.fixture(scope="module")
def bibliography() -> BibliographyData:
    return parse_file(ROOT / "book" / "references.bib")


# ---- glossary, citations, links ---------------------------------------------------------------------------------


def test_the_glossary_is_large_and_has_no_term_twice():
    terms = [term.lower() for term in glossary_terms()]
    assert len(terms) >= 50
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_every_term_is_in_the_glossary(path):
    known = {term.lower() for term in glossary_terms()}
    used = [" ".join(term.split()) for term in TERM.findall(markdown_of(path))]
    targets = [re.sub(r"^.*<(.+)>$", r"\1", term).lower() for term in used]
    assert not [target for target in targets if target not in known]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_every_citation_is_in_the_bibliography(path, bibliography):
    keys = [key.strip() for group in CITATION.findall(markdown_of(path)) for key in group.split(",")]
    assert not [key for key in keys if key not in bibliography.entries]


@pytest.mark.parametrize("path", PAGES + NOTEBOOKS, ids=lambda path: path.stem)
def test_a_measured_number_on_a_page_is_taken_from_its_record(path):
    """In a paragraph that names `results/` as its source, no number with a unit is typed: a substitution gives it."""
    for paragraph in re.split(r"\n\s*\n", markdown_of(path)):
        if "`results/" in paragraph and "```" not in paragraph.replace("```{admonition}", ""):
            typed = re.sub(r"\{\{.*?\}\}", "", paragraph)
            assert not re.findall(r"\d(?:\.\d+)? (?:mm|px|ms|s|%)(?!\w)", typed), paragraph


def test_rendered_citations_are_in_the_bibliography(bibliography, tmp_path):
    keys = CITATION.findall(render_results(tmp_path))
    assert {"keuth2025denseseg", "payer2019scn", "ham2023spatial", "vanginneken2006scr"} <= set(keys)
    assert all(key in bibliography.entries for key in keys)


def test_bibliography_entries_are_complete(bibliography):
    venues = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}
    for key, entry in bibliography.entries.items():
        assert entry.persons.get("author"), key
        assert {"title", "year", venues[entry.type]} <= set(entry.fields), key
        assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields.get("doi", "10.0000/none")), key


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_documents_and_figures_that_a_page_names_are_in_the_book(path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    documents = {toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])}
    text = markdown_of(path)
    for reference in re.findall(r"\{doc\}`([^`]+)`", text):
        target = re.sub(r"^.*<(.+)>$", r"\1", reference, flags=re.DOTALL)
        folder = ROOT if target.startswith("/") else path.parent
        assert (folder / target.lstrip("/")).resolve().relative_to(ROOT).as_posix() in documents
    for figure in re.findall(r"```\{figure\} (\S+)", text):
        assert (path.parent / figure).is_file()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_figures_have_an_alternative_text(path):
    for options in re.findall(r"```\{figure\} \S+\n((?::.*\n)*)", markdown_of(path)):
        assert re.search(r"^:alt: .{30,}$", options, re.MULTILINE)


def test_drawings_are_well_formed_and_say_what_they_show():
    for name in ("method.svg", "uv_idea.svg"):
        root = ET.parse(ROOT / "book" / "_static" / name).getroot()
        space = "{http://www.w3.org/2000/svg}"
        assert root.findtext(f"{space}title")
        assert len(root.findtext(f"{space}desc") or "") > 100


def test_python_and_toml_on_pages_parse():
    import tomllib

    for path in PAGES:
        text = markdown_of(path)
        for block in code_blocks(text, "python"):
            ast.parse(block)
        for block in code_blocks(text, "toml"):
            tomllib.loads(block)


def test_the_introduction_maps_every_chapter():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [c["file"] for part in toc["parts"] for c in part["chapters"] if c["file"].startswith("notebooks/")]
    introduction = (ROOT / "book" / "introduction.md").read_text(encoding="utf-8")
    assert [chapter for chapter in chapters if f"<../{chapter}>" not in introduction] == []


# ---- README -----------------------------------------------------------------------------------------------------


def test_readme_shows_exactly_two_commands():
    shell = [line for block in code_blocks(README, "sh") for line in block.split("\n") if line.strip()]
    assert shell == ["make book", "make test"]


def test_readme_links_resolve():
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert links
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


def test_readme_python_uses_names_that_it_imports():
    tree = ast.parse(readme_python())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called == imported == {"load_pretrained", "overlay", "read_image"}


# ---- results page -----------------------------------------------------------------------------------------------


def numbers(mean: float, unit: str = "mm") -> dict:
    return {"mean": mean, "sd": 2.0, "low": mean - 0.5, "high": mean + 0.5, "unit": unit}


ORIGIN = {
    "source": "converted PNG files",
    "commit": "0123456789abcdef+changes",
    "device": "some GPU",
    "versions": {"python": "3.11"},
}


def record(metrics: dict | None = None, **changes) -> Record:
    """A run on JSRT; changes are of the spec where it has such a field."""
    group = {"tre": numbers(5.0), "asd_one_way_published": numbers(2.5), "assd": numbers(3.0), "dsc": numbers(91.25, "%")}
    spec = {"dataset": "JSRT", "method": "denseseg", "recipe": "default", "profile": "full", "seed": 0, "options": {}}
    spec |= {"split": "paper", "fold": None, "folds": None, "budget": None}
    spec |= {key: value for key, value in changes.items() if key in spec}
    content = ORIGIN | {
        "spec": spec,
        "size": [256, 256],
        "n_train": 144,
        "n_validation": 16,
        "n_test": 87,
        "failures": 0,
        "precision": "bf16-mixed",
        "recipe_settings": plain(asdict(recipe_of(validated(Spec, spec | {"options": {}, "recipe": "default"}, "spec")))),
        "data_sha256": "a" * 64,
        "parameters": 6_800_000,
        "seconds_train": 600.0,
        "seconds_per_case": 0.02,
        "metrics": {name: group | (metrics or {}) for name in ("lungs", "heart", "clavicles", "average")},
    }
    return validated(Record, content | {key: value for key, value in changes.items() if key not in spec}, "record")


@pytest.fixture
def rendered(tmp_path):
    """Write records to a folder and render it."""

    def render(*records: Record) -> str:
        for content in records:
            write_record(content, tmp_path)
        return render_results(tmp_path)

    return render


def cells(line: str) -> list[str]:
    """The cells of a line of a pipe table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def rows_with(page: str, text: str) -> list[list[str]]:
    return [cells(line) for line in page.splitlines() if line.startswith("|") and text in line]


def test_without_records_the_published_numbers_stand_alone(rendered):
    page = rendered()
    assert rows_with(page, "DenseSeg ")[0] == ["DenseSeg", "published", "6.2 ± 1.8", "8.1 ± 9.0", "3.2 ± 1.3", "5.8 ± 4.0"]
    assert "2.5 ± 1.4" in page  # DenseSeg on the wrist
    hand = rows_with(page, "SpatialConfiguration-Net")[0]
    source = "{cite:t}`payer2019scn`, Table 1"
    assert hand == ["SpatialConfiguration-Net", source, "0.66 ± 0.74, median 0.43", "1659 (5.01)", "241 (0.73)", "3 (0.01)"]
    assert page.count("Localization U-Net") == 1 + 3 + 1 + 1 + 3  # hand, few training images, skull, hand and spine in 3-D
    assert "ours:" not in page
    assert TOY not in page


def test_seeds_become_one_row_with_mean_and_spread(rendered):
    page = rendered(*(record({"tre": numbers(tre)}, seed=seed) for seed, tre in enumerate((5.0, 5.2, 5.7))))
    assert "5.30 ± 2.00 (5.00..5.70)" in page
    assert "3 seeds" in page


def test_runs_that_differ_by_more_than_the_seed_stay_apart():
    full, shorter = {"band": 4.0, "epochs": 100}, {"band": 4.0, "epochs": 50}
    runs = [record(seed=i, recipe_settings=settings) for i, settings in enumerate((full, full, shorter))]
    runs += [record(size=[128, 128], recipe_settings=full), record(recipe="paper"), record(options={"band": 2})]
    assert sorted(len(group) for group in groups_of_runs(runs)) == [1, 1, 1, 1, 2]


def test_folds_that_are_pooled_are_told_once_and_listed_among_the_runs(rendered):
    folds = [record({"tre": numbers(7 + fold)}, split="folds", folds=3, fold=fold) for fold in range(3)]
    alone = rendered(*folds).split("## Every run")[0]
    assert all(f"{7 + fold}.00 ± 2.00" in alone for fold in range(3))
    page, runs = rendered(record({"tre": numbers(8.5)}, split="folds", folds=3)).split("## Every run")
    assert "8.50 ± 2.00" in page and not any(f"{7 + fold}.00 ± 2.00" in page for fold in range(3))
    assert all(f"{7 + fold}.00 [" in runs for fold in range(3))


def test_a_run_with_a_budget_says_so(rendered):
    page = rendered(record(budget={"steps": 900}), record({"tre": numbers(7.77)}, budget={"seconds": 90}))
    assert "split, 900 steps, 1 seed" in page and "split, 90 seconds, 1 seed" in page
    assert "recipe changed since" not in page


def test_a_run_of_a_recipe_that_has_changed_says_so(rendered):
    now = record().recipe_settings
    page = rendered(record({"tre": numbers(7.77)}, recipe_settings=now | {"test_time_views": 5}, seed=1), record())
    told = [row[1] for row in rows_with(page, "DenseSeg, *default*") if row[1].startswith("ours: ")]
    assert sum("recipe changed since" in setting for setting in told) == len(told) / 2 > 0


def test_every_number_comes_with_its_source(rendered):
    page = rendered(record(migrated="from version 1; so and so"))
    runs = page.split("## Every run")[1]
    facts = ("0123456789", "+ changes", "some GPU", "full", "converted PNG files", "aaaaaaaaaa", "5.00 [4.50, 5.50] mm")
    for fact in (*facts, "results/JSRT/denseseg_default_full_paper_0.json", "Migrated from version 1; so and so."):
        assert fact in runs


@pytest.mark.parametrize("changes", [{"synthetic": True}, {"profile": "smoke"}, {"profile": "course"}])
def test_toys_are_marked_and_kept_out_of_the_real_tables(rendered, changes):
    page = rendered(record(), record({"tre": numbers(7.77)}, seed=1, **changes))
    real, toys = page.split(f"## {TOY} runs")
    assert "7.77" not in real
    rows = rows_with(toys, "7.77")
    assert rows
    assert all(row[0].startswith(f"{TOY}: ") for row in rows)


def test_a_smaller_run_on_real_images_says_its_profile_and_size(rendered):
    page = rendered(record(profile="compact", size=[128, 128]))
    assert "ours: compact profile, 128 × 128 px" in page
    assert TOY not in page


@pytest.mark.parametrize("name", ["Hands of our clinic", "JSRT of another lab", "Graz 2"])
def test_a_data_set_is_a_public_one_only_by_its_exact_name(rendered, name):
    public, others = rendered(record({"tre": numbers(7.77, "px")}, dataset=name)).split("## Other data sets")
    assert "7.77" not in public and "ours:" not in public
    assert rows_with(others, name)[0][3].startswith("7.77 ± 2.00 px")


def test_a_number_in_another_unit_than_the_published_ones_says_so(rendered):
    row = rows_with(rendered(record({"tre": numbers(4.4, "px")})), "ours:")[0]
    assert row[2] == "4.40 ± 2.00 px"


def test_missing_numbers_are_dashes(rendered):
    content = record({"tre": numbers(5.0) | {"low": None, "high": None}})
    del content.metrics["heart"]
    assert rows_with(rendered(content), "ours:")[0][2:] == ["5.00 ± 2.00", "–", "5.00 ± 2.00", "5.00 ± 2.00"]


def test_a_method_without_landmarks_has_its_rows(rendered):
    content = record()
    for metrics in content.metrics.values():
        del metrics["tre"]
    page = rendered(content)
    tre, dsc = page.split("**TRE")[1].split("**ASD")[0], page.split("**DSC")[1].split("## ")[0]
    assert "ours:" not in tre and "ours:" in dsc


def test_runs_on_single_landmarks_stand_above_the_published_rows(rendered):
    """With what lies beyond a radius, which no record says, from what lies within it."""
    points = {"tre": numbers(0.61) | {"median": 0.4}, "sdr_2": numbers(96.5, "%") | {"n": 2000}, "sdr_4": numbers(99.5, "%")}
    content = record(dataset="Digital Hand Atlas")
    content = content.model_copy(update={"metrics": {"average": record(points).metrics["average"]}})
    page = rendered(content).split("## Hand: Digital Hand Atlas")[1]
    assert rows_with(page, "")[2][3:5] == ["70 (3.50)", "0.50"]  # of a single run also how many they are, where it says of how many
    again = {"spec": content.spec.model_copy(update={"seed": 1}), "seconds_train": 601.0}
    runs = [content, content.model_copy(update=again)]
    page = rendered(*runs).split("## Hand: Digital Hand Atlas")[1]
    ours, theirs = rows_with(page, "")[2:4]
    assert ours[1].startswith("ours: full profile") and theirs[0] == "SpatialConfiguration-Net"
    assert ours[2:] == ["0.61 ± 2.00 (0.61..0.61), median 0.40", "3.50", "0.50", "–"]


@pytest.mark.parametrize("name", published()["dataset"].unique())
def test_every_published_number_is_on_the_page(rendered, name):
    """Save those that a study shows beside its own results."""
    page = rendered()
    if name == "JSRT, new landmarks":
        return
    for row in published().query("dataset == @name").itertuples():
        assert any(row.printed in cell for line in rows_with(page, row.method) for cell in line), row


def test_tables_are_rectangular(rendered):
    page = rendered(record(notes="a | b"), record(dataset="phantom", synthetic=True), record(dataset="another", seconds_train=9.0))
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) >= 10
    for table in tables:
        assert len({len(cells(line)) for line in table.splitlines()}) == 1


def test_published_average_is_the_mean_of_the_groups():
    """A check against slips of the pen. The one exception is the paper's own, and the page says so."""
    exceptions = []
    for dataset in PUBLIC_DATASETS[:2]:
        for metric in ("tre", "asd_one_way_published", "dsc"):
            table = published_table(dataset.name, metric)
            for method, _, *row in published_rows(table, list(table["group"].unique())):
                *groups, average = (float(cell.split(" ± ")[0]) for cell in row)
                if sum(groups) / len(groups) != pytest.approx(average, abs=0.11):
                    exceptions.append((method, metric))
    assert exceptions == [("nnU-Net", "asd_one_way_published")]
    lungs, heart, clavicles = 1.4, 3.0, 1.1
    assert (2 * lungs + heart + 2 * clavicles) / 5 == pytest.approx(1.6)
    assert "1.6 mm is the mean of the five structures" in PUBLIC_DATASETS[0].remarks


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "broken.json").write_text('{"version": 2, "source": "files"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.json: device is missing"):
        render_results(tmp_path)


def study(results: dict, **changes) -> StudyRecord:
    content = {"study": "bone age", "dataset": "JSRT", "profile": "compact", "seed": 0, "n": {"test": 86}, "data_sha256": None}
    return validated(StudyRecord, ORIGIN | content | {"settings": {}, "results": results} | changes, "study")


NUMBERS = {"mean": 6.93, "mae": 6.93, "low": 6.2, "high": 7.7, "r2": 0.71}


def test_each_study_has_its_table(tmp_path):
    place = {"mm": dict.fromkeys(("ours", "mean shape", "true maps"), NUMBERS)}
    place |= {"published_mm": {"map": [20.5, 5.1], "mean shape": [15, 7]}}
    true = {"ridge": NUMBERS, "mean age": NUMBERS}
    ages = {
        "irreducible_mae": 6.6,
        "true_landmarks": true,
        "by_source": {"ridge": {"true landmarks": NUMBERS, "read by HeatReg": NUMBERS}},
    }
    write_study(study({"places": {"clavicle": place}}, study="new landmarks"), tmp_path)
    write_study(study(ages, dataset="wrists", synthetic=True), tmp_path)
    page = render_results(tmp_path).split("## Studies")[1]
    assert "### New landmarks (JSRT)" in page
    assert "### TOY: Bone age (wrists)" in page
    assert rows_with(page, "| clavicle") == [["clavicle", *["6.9 [6.2, 7.7]"] * 3, "20.5 ± 5.1", "15.0 ± 7.0"]]
    assert rows_with(page, "| mean age") == [["mean age", "6.9 [6.2, 7.7]", "0.71"]]
    assert rows_with(page, "| ridge") == [["ridge", "6.9 [6.2, 7.7]", "0.71"], ["ridge", *["6.9 [6.2, 7.7]"] * 2]]
    assert "86 test" in page


HOSTILE = "<script>alert(1)</script> {{ 7 * 7 }} | `a` [b](javascript:c)\n\n```{raw} html\n<b>\n```"


def test_markup_in_records_stays_text(tmp_path):
    spoilt = {"notes": HOSTILE, "device": HOSTILE, "source": HOSTILE, "commit": "`<b>`{{a}}|"}
    write_record(record(**spoilt), tmp_path)
    write_record(record(dataset="a {{ b }} $c$ <i>", recipe="*a*_<b>_"), tmp_path)
    place = {
        "mm": {**dict.fromkeys(("ours", "mean shape", "true maps"), NUMBERS)},
        "published_mm": {"map": [20.5, 5.1], "mean shape": [15, 7]},
    }
    write_study(study({"places": {HOSTILE: place}}, study="new landmarks", notes=HOSTILE, dataset="<b>"), tmp_path)
    page = render_results(tmp_path, tmp_path / "_static" / "results.svg")
    assert not re.search(r"<(script|b|i)>|\{\{|\{raw\}|\]\(javascript", page)
    assert "&#60;script&#62;alert(1)&#60;/script&#62;" in page


def test_runs_with_few_images_are_one_table_and_no_rows_among_the_others(tmp_path):
    for value, size, draw in ((9.0, 2, 0), (7.0, 2, 1), (5.0, None, None)):
        record = box_record()
        numbers = record.metrics["average"]["tre"].model_copy(update={"mean": value, "low": None, "high": None})
        spec = record.spec.model_copy(update={"train_size": size, "draw": draw})
        write_record(record.model_copy(update={"spec": spec, "metrics": {"average": {"tre": numbers}}}), tmp_path)
    page = render_results(tmp_path)
    few, rest = page.split("## Few training images")[1].split(f"## {TOY} runs")
    assert rows_with(few, "images")[0] == ["method", "2 images", "6 images"]
    assert rows_with(few, "Mean shape") == [["Mean shape", "8.00 (7.00..9.00)", "5.00"]]
    assert len(rows_with(rest.split("## Every run")[0], "Mean shape")) == 1


@pytest.mark.parametrize("name", ["tea leaves", "bone age"])
def test_a_study_whose_results_the_page_does_not_know_is_named(tmp_path, name):
    path = write_study(study({"mae": 1.0}, study=name), tmp_path)
    with pytest.raises(DataError, match=rf"{path.name} holds no study that this page knows"):
        render_results(tmp_path)


def test_command_writes_the_page(tmp_path, capsys):
    out = tmp_path / "out.md"
    assert main([str(tmp_path), str(out)]) == 0
    assert out.read_text(encoding="utf-8").startswith("## Chest: JSRT")
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_page_has_the_marker_once():
    page = (ROOT / "book" / "results.md").read_text(encoding="utf-8")
    assert page.splitlines().count("<!-- results -->") == 1


def test_more_seeds_are_no_more_tries():
    """Groups of runs are ranked by the mean of their seeds, not by the best of them."""
    runs = [record({"tre": numbers(tre)}, seed=seed) for seed, tre in enumerate((4.0, 6.0))]
    one = record({"tre": numbers(4.5)}, recipe="paper")
    assert [len(group) for group in groups_of_runs([*runs, one])] == [1, 2]


def test_the_picture_holds_whole_recipes_on_real_images_alone():
    runs = [record(), record(recipe="paper"), record(recipe="sparse"), record(split="stratified"), record(method="mean_shape")]
    runs += [record(options={"band": 2}), record(dataset="phantom", synthetic=True)]
    (panel,) = errors_by_dataset(runs).values()
    ours = panel.query("kind != 'published'")[["method", "kind"]].to_numpy().tolist()
    assert sorted(ours) == [["DenseSeg", "default"], ["DenseSeg", "paper"], ["DenseSeg sparse", "paper"]]


def test_the_page_opens_with_a_picture_of_ours_beside_the_published(tmp_path):
    for seed, mean in ((0, 5.0), (1, 7.0)):
        tre = numbers(mean) | {"low": mean - 1, "high": mean + 1}
        write_record(record({"tre": tre}, seed=seed), tmp_path)
    panels = errors_by_dataset(read_records(tmp_path))
    (ours,) = panels["JSRT"].query("kind == 'default'").to_dict("records")
    assert (ours["mean"], ours["low"], ours["high"], ours["unit"]) == (6.0, 5.0, 7.0, "mm")
    theirs = panels["JSRT"].query("kind == 'published'").set_index("method")["mean"]
    assert theirs["DenseSeg"] == 5.8 and theirs["ShapeFormer"] == 6.8 and theirs["Heatmap regression"] == 6.1
    page = render_results(tmp_path, tmp_path / "_static" / "results.svg")
    assert page.startswith("![Mean landmark error") and "](_static/results.svg)" in page
    assert (tmp_path / "_static" / "results.svg").stat().st_size > 1000


def test_without_a_run_there_is_no_picture(tmp_path):
    assert render_results(tmp_path, tmp_path / "results.svg").startswith("## Chest: JSRT")
    assert not (tmp_path / "results.svg").exists()

"""The book's pages and the README: every link, citation and term resolves, and the results page tells toys from evidence."""

from __future__ import annotations

import ast
import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from helpers import README, code_blocks, readme_python
from pybtex.database import BibliographyData, parse_file

from denseseg.course.results_page import BENCHMARKS, TOY, groups_of_runs, is_toy, main, published_rows, render_results
from denseseg.errors import DataError

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


def test_rendered_citations_are_in_the_bibliography(bibliography):
    keys = [key for benchmark in BENCHMARKS for key in CITATION.findall(benchmark.source)]
    assert keys
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
    assert called == imported == {"load_method", "overlay", "read_image"}


# ---- results page -----------------------------------------------------------------------------------------------


def numbers(mean: float, unit: str = "mm") -> dict:
    return {"mean": mean, "sd": 2.0, "low": mean - 0.5, "high": mean + 0.5, "unit": unit}


def record(**changes) -> dict:
    group = {"tre": numbers(5.0), "asd_one_way_published": numbers(2.5), "assd": numbers(3.0), "dsc": numbers(91.25, "%")}
    return {
        "dataset": "JSRT",
        "copy": "converted PNG files",
        "size": [256, 256],
        "split": "paper",
        "n_train": 144,
        "n_test": 87,
        "failures": 0,
        "method": "denseseg",
        "recipe": "default",
        "profile": "full",
        "seed": 0,
        "commit": "0123456789abcdef+changes",
        "device": "some GPU",
        "versions": {"python": "3.11"},
        "data_sha256": "a" * 64,
        "parameters": 6_800_000,
        "seconds_train": 600.0,
        "seconds_per_case": 0.02,
        "metrics": {name: copy.deepcopy(group) for name in ("lungs", "heart", "clavicles", "average")},
    } | changes


@pytest.fixture
def rendered(tmp_path):
    """Write records to a folder and render it."""

    def render(*records: dict) -> str:
        for index, content in enumerate(records):
            (tmp_path / f"{index}.json").write_text(json.dumps(content), encoding="utf-8")
        return render_results(tmp_path)

    return render


def with_tre(content: dict, mean: float) -> dict:
    content["metrics"]["average"]["tre"] = numbers(mean)
    return content


def test_without_records_the_published_numbers_stand_alone(rendered):
    page = rendered()
    assert "5.8 ± 4.0" in page  # DenseSeg on JSRT
    assert "2.5 ± 1.4" in page  # DenseSeg on the wrist
    assert "ours:" not in page
    assert TOY not in page


def test_seeds_become_one_row_with_mean_and_spread(rendered):
    page = rendered(*(with_tre(record(seed=seed), tre) for seed, tre in enumerate((5.0, 5.2, 5.7))))
    assert "5.30 ± 2.00 (5.00..5.70)" in page
    assert "3 seeds" in page


def test_runs_that_differ_by_more_than_the_seed_stay_apart():
    settings = {"recipe": {"band": 4.0}, "training": {"epochs": 100, "seed": 0}}
    other_seed = copy.deepcopy(settings) | {"training": {"epochs": 100, "seed": 1}}
    shorter = {"recipe": {"band": 4.0}, "training": {"epochs": 50, "seed": 2}}
    runs = [record(seed=i, settings=s) for i, s in enumerate((settings, other_seed, shorter))]
    assert sorted(len(group) for group in groups_of_runs([*runs, record(size=[128, 128]), record(recipe="paper")])) == [
        1,
        1,
        1,
        2,
    ]


def test_every_number_comes_with_its_source(rendered):
    page = rendered(record())
    runs = page.split("## Every run")[1]
    for fact in ("0123456789", "+ changes", "some GPU", "full", "converted PNG files", "aaaaaaaaaa", "5.00 [4.50, 5.50] mm"):
        assert fact in runs
    assert "results/JSRT/denseseg_default_full_0.json" in runs


@pytest.mark.parametrize("changes", [{"dataset": "chest phantom"}, {"profile": "smoke"}, {"profile": "course"}])
def test_toys_are_marked_and_kept_out_of_the_real_tables(rendered, changes):
    toy = with_tre(record(**changes), 0.77)
    assert is_toy(toy)
    page = rendered(record(), toy)
    real, toys = page.split(f"## {TOY} runs")
    assert "0.77" not in real
    lines = [line for line in toys.splitlines() if "0.77" in line]
    assert lines
    assert all(line.startswith(f"| {TOY}: ") for line in lines)


def test_a_smaller_run_on_real_images_says_its_profile_and_size(rendered):
    page = rendered(record(profile="compact", size=[128, 128]))
    assert "ours: compact profile, 128 × 128 px" in page
    assert TOY not in page


def test_missing_numbers_are_dashes(rendered):
    content = record()
    del content["metrics"]["heart"]
    content["metrics"]["average"]["tre"] |= {"low": None, "high": None}
    row = next(line for line in rendered(content).splitlines() if "ours:" in line)
    assert "| 5.00 ± 2.00 | – | 5.00 ± 2.00 | 5.00 ± 2.00 |" in row


def test_tables_are_rectangular(rendered):
    page = rendered(record(notes="a | b"), record(dataset="chest phantom"), record(dataset="another"))
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) >= 10
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_published_average_is_the_mean_of_the_groups():
    """A check against slips of the pen. The one exception is the paper's own, and the page says so."""
    exceptions = []
    for benchmark in BENCHMARKS[:2]:
        for metric in ("tre", "asd_one_way_published", "dsc"):
            for method, _, *cells in published_rows(benchmark, metric):
                *groups, average = (float(cell.split(" ± ")[0]) for cell in cells)
                if sum(groups) / len(groups) != pytest.approx(average, abs=0.11):
                    exceptions.append((method, metric))
    assert exceptions == [("nnU-Net", "asd_one_way_published")]
    lungs, heart, clavicles = 1.4, 3.0, 1.1
    assert (2 * lungs + heart + 2 * clavicles) / 5 == pytest.approx(1.6)
    assert "1.6 mm is the mean of the five structures" in BENCHMARKS[0].remarks


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "broken.json").write_text('{"dataset": "JSRT"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.json lacks"):
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

"""The command `denseseg`: each subcommand is a few lines on public functions, imported when it runs, so that --help is quick."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from denseseg.cases import Case

app = App(
    name="denseseg",
    help="Dense landmark detection in radiographs: from a folder of images to a table.",
    version=version("denseseg"),
    default_parameter=Parameter(negative=""),  # no --no-masks beside --masks
)

SplitScheme = Literal["paper", "stratified", "patients"]
Tool = Literal["labelme", "coco", "cvat", "slicer"]


@app.command
def check(folder: Path, /, *, sheet: Path = Path("check.png")) -> None:
    """Tell what is in a data set, and what is odd about it: worst first, each with how to mend it. Exit status 1 if anything is.

    Parameters
    ----------
    folder
        The data-set folder.
    sheet
        The picture of what is odd.
    """
    from denseseg.cases import read_cases
    from denseseg.cases.folder import unlisted_images
    from denseseg.cases.health import check_cases, contents
    from denseseg.errors import DataError
    from denseseg.viewing.plots.sheet import draw_sheet

    if sheet.exists() and not sheet.read_bytes().startswith(b"\x89PNG"):
        raise DataError(f"{sheet} exists and is no PNG picture; name another file with --sheet")
    cases = read_cases(folder, check=False)
    print(contents(cases))
    if forgotten := unlisted_images(folder, cases):
        print(f"no case:  {len(forgotten)} in images that cases.csv does not list, such as {forgotten[0].name}")
    findings = check_cases(cases)
    if not findings:
        print("nothing odd was found")
        return
    print(f"odd, worst first ({len(findings)}):", *findings, sep="\n")
    if drawn := draw_sheet(cases, findings, sheet):
        print(f"drawn: {drawn}")
    sys.exit(1)


@app.command
def train(
    data: str,
    /,
    *,
    method: str = "denseseg",
    recipe: str = "default",
    profile: str = "compact",
    split: SplitScheme | None = None,
    seed: int = 0,
    budget: str = "",
    shape_prior: float | Literal["validation"] | None = None,
    runs: Path = Path("runs"),
    results: Path = Path("results"),
) -> None:
    """Train a method on a part of a data set, judge it on the rest, and keep weights and record. The same command resumes a run.

    Parameters
    ----------
    data
        The data-set folder, or a phantom such as "chest phantom".
    method
        Such as denseseg, heatmap_regression, mean_shape; another name lists them all.
    recipe
        One of the method's recipes.
    profile
        How large a run: smoke, course, compact, large or full.
    split
        How cases are divided. By default as cases.csv allows: as its parts say, else by patients, else by strata.
    seed
        Of the training.
    budget
        Such as "900 steps", "60 epochs" or "600 seconds"; by default the recipe's length.
    shape_prior
        How much the shape model smooths landmarks: the noise that they are taken to carry, as a share of the image height; 0
        leaves them as they are, validation chooses what suits the validation cases best. By default what the recipe says.
    runs
        Where weights are kept.
    results
        Where records are kept.
    """
    from denseseg.evaluation import summarise
    from denseseg.experiments import Spec, get_profile, load_cases, run_experiment
    from denseseg.experiments.grid import budget_from

    cases = load_cases(get_profile(profile), data)
    spec = Spec(
        dataset=cases.name, method=method, recipe=recipe, profile=profile, split=split or default_scheme(cases), seed=seed,
        budget=budget_from(budget), options={} if shape_prior is None else {"shape_prior": shape_prior},
    )  # fmt: skip
    experiment = run_experiment(cases, spec, runs, results=results)

    print(summarise(experiment.table).to_string(index=False))
    print(f"record:  {experiment.record.path(results)}")
    print(f"weights: {experiment.weights}")


@app.command
def predict(
    images: list[Path],
    /,
    *,
    weights: Path = Path("chest"),
    out: Path = Path("predictions"),
    masks: bool = False,
    overlays: bool = False,
    annotations: Tool | None = None,
    names: Path | None = None,
    any_way: bool = False,
    device: str = "cpu",
) -> None:
    """Find landmarks in images, and write them into a new folder: OUT/landmarks.csv, pixels of each image.

    An image that cannot be read is left out and listed at the end; the exit status is then 1. Images that are unlike the training
    images, or in which a structure is not to be believed, are listed, too; the column `refusal` says why.

    A case is called as its file, without the ending. What a header says of the patient goes nowhere.

    Parameters
    ----------
    images
        Files or folders: PNG, JPEG, TIFF, BMP, DICOM, MHA, NRRD, NIfTI.
    weights
        The file that `denseseg train` wrote, or the name of a network that comes with the package and has seen drawings only.
    out
        The folder to write.
    masks
        Also write masks/NAME.npz, as in a data set.
    overlays
        Also write overlays/NAME.png.
    annotations
        Also write the files of this tool, to correct the landmarks in it.
    names
        Call cases 0001, 0002, ... in all that is written or told, and note in this new CSV file, to be kept apart, which is which:
        for files or folders that are named after patients.
    any_way
        Images may be turned by quarter turns or mirrored: try all eight orientations of each, and take the one that is least unlike
        the training images. It takes eight times as long. Images that were turned are listed; landmarks are given in your image.
        Do not use it where left and right are the question: a heart on the right looks like a mirrored image.
    device
        Such as cpu, cuda or mps.
    """
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from denseseg.errors import DataError
    from denseseg.exchange import annotation_of, masks_of, new_folder, picture, placed, refused, write_annotations, write_picture
    from denseseg.readers.image import read_image
    from denseseg.readers.image_files import image_files
    from denseseg.viewing.plots import overlay
    from denseseg.weights import load_weights

    method, files = load_weights(weights, device), image_files(images, numbered=names is not None)
    if any_way and method.usual is None:
        raise DataError("--any-way: these weights do not know what is unlike their training images; train with validation cases")
    if names is not None and names.resolve().is_relative_to(out.resolve()):
        raise DataError(f"--names {names} lies in {out}, which others may see; keep it in another folder")
    folders = {kind: new_folder(out / kind) for kind, wanted in (("", True), ("masks", masks), ("overlays", overlays)) if wanted}
    if names is not None:
        write_names(names, files)
    tables, found, broken, doubted, turned = [], [], [], [], []
    try:
        for name, path in tqdm(files.items(), desc="predict", unit="image", disable=None):
            try:
                read = read_image(path)
                if any_way:
                    prediction, turn = method.predict_any_way(read.image)
                    if not turn.unchanged:
                        turned.append(f"{name}: {turn}")
                else:
                    prediction = method.predict_image(read.image)
            except (DataError, OSError) as error:
                broken.append(str(error) if names is None else unnamed(str(error), path, name))
                continue
            if reasons := list(dict.fromkeys(reason for reason in prediction.refusals if reason)):
                score = "" if prediction.ood_score is None else f" (score {prediction.ood_score:.1f})"
                doubted.append(f"{name}{score}: {'; '.join(reasons)}")
            if prediction.landmarks is not None:
                tables.append(prediction.table().assign(case=name))
            elif not (masks or overlays):
                raise DataError(f"{weights} predicts masks alone, no landmarks; add --masks or --overlays")
            if masks:
                np.savez_compressed(folders["masks"] / f"{name}.npz", masks=masks_of(prediction, read.image.shape))
            if overlays:
                overlay(read.image, prediction, folders["overlays"] / f"{name}.png", read.spacing)
            if annotations:
                image = picture(name, annotations)
                found.append(annotation_of(image, read.image.shape, placed(prediction), read.spacing, refused(prediction)))
                write_picture(out / annotations / image, read.image, read.spacing)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what was predicted so far is in {out}; predict the rest into another folder") from None
    finally:  # also after an error: nothing that was predicted is lost
        if tables:
            table = pd.concat(tables).set_index("case")
            table.to_csv(out / "landmarks.csv", float_format="%.3f")
        if annotations and found:
            write_annotations(out / annotations, found, method.anatomy, annotations)
    print(f"predicted: {len(files) - len(broken)} of {len(files)} images, written to {out}")
    if doubted:
        print(f"not to be believed, {len(doubted)} of them, beyond the limit of 1 or not found:", *doubted, sep="\n")
    if turned:
        print(f"turned or mirrored before reading, {len(turned)} of them:", *turned, sep="\n")
    if method.usual is None:
        print("nothing was refused for being unlike the training images: these weights know no limit;")
        print("train again, with 4 validation cases or more, to have one")
    if broken:
        raise DataError("\n".join([f"{len(broken)} of {len(files)} images were left out:", *broken]))


@app.command
def evaluate(
    folder: Path,
    /,
    *,
    weights: Path,
    part: Literal["test", "all"] = "test",
    split: SplitScheme | None = None,
    csv: Path | None = None,
    device: str = "cpu",
) -> None:
    """Judge trained weights on a data set, each case in its own pixels and, where spacing is known, in millimetres.

    Parameters
    ----------
    folder
        The data-set folder.
    weights
        The file that `denseseg train` wrote, or the name of a network that comes with the package, such as chest.
    part
        The cases that the split tests on, or all: only right for a set that nothing was trained on.
    split
        As for `denseseg train`.
    csv
        Where to write every single value.
    device
        Such as cpu, cuda or mps.
    """
    from denseseg.cases import read_cases
    from denseseg.errors import DataError
    from denseseg.evaluation import evaluate, summarise
    from denseseg.evaluation.scores import COLUMNS
    from denseseg.files import atomic_file
    from denseseg.weights import load_weights

    if csv is not None and csv.exists():
        with csv.open(encoding="utf-8", errors="replace") as file:
            if not file.readline().startswith(",".join(COLUMNS)):
                raise DataError(f"{csv} holds something else than such a table; name another file, so that it is not lost")
    cases, method = read_cases(folder), load_weights(weights, device)
    if part == "test":
        cases = cases.split(split or default_scheme(cases)).test
    method.require(cases.fitted(method.size))
    table = evaluate(method.predict_cases(cases, progress=True), cases)
    print(f"{method.title} on {len(cases)} cases of {cases.name}")
    print(summarise(table).to_string(index=False))
    if csv is not None:
        with atomic_file(csv) as temporary:
            table.to_csv(temporary, index=False)


@app.command(name="import")
def import_(
    annotations: Path,
    out: Path,
    /,
    *,
    images: Path,
    anatomy: str | None = None,
    predicted: Path | None = None,
    also: Path | None = None,
) -> None:
    """Make a data set of what LabelMe, CVAT, 3D Slicer or a COCO file holds, and of the images.

    Predict, correct, retrain: `denseseg predict --annotations labelme --out NEW` writes NEW/labelme; correct landmarks there; then
    `denseseg import NEW/labelme MORE --images NEW/labelme --predicted NEW/landmarks.csv --also OLD` is OLD and what was corrected.

    Parameters
    ----------
    annotations
        A file, or a folder with many; which tool wrote it is found from its content.
    out
        The data-set folder to write. The set is called as it.
    images
        A folder of images of the same names. Where it is a data set, its anatomy, spacing and tables are kept.
    anatomy
        chest, wrist, hand, or a folder whose dataset.toml describes it; by default that of `images` or `also`.
    predicted
        The landmarks.csv of these annotations: images in which nobody changed a landmark are left out.
    also
        A data set whose cases are written, too. Further ones are then for training.
    """
    from denseseg.cases import read_cases, write_cases
    from denseseg.exchange import imported, joined, new_folder

    cases = imported(annotations, images, anatomy or (str(also) if also else None), predicted, out.resolve().name)
    cases = joined(read_cases(also), cases) if also else cases
    print(f"{len(cases)} cases written to {write_cases(new_folder(out), cases)}")


@app.command
def export(folder: Path, out: Path, /, *, to: Tool) -> None:
    """Write the landmarks and images of a data set for a tool in which people annotate; `denseseg import` brings them back.

    Parameters
    ----------
    folder
        The data-set folder.
    out
        The folder to write.
    to
        The tool. Images are PNG of 8 bit, for 3D Slicer MHA with their spacing.
    """
    from denseseg.cases import read_cases
    from denseseg.exchange import exported

    cases = read_cases(folder)
    print(f"{len(cases)} cases written to {exported(cases, out, to)}")


def write_names(path: Path, files: dict[str, Path]) -> None:
    """Which case is which file, as CSV. Raises DataError where there is such a file already: it may be the key to other cases."""
    import pandas as pd

    from denseseg.errors import DataError
    from denseseg.files import write_csv

    if path.exists():
        raise DataError(f"{path} exists; name a new file, so that it still says which of its cases is which")
    write_csv(path, pd.DataFrame({"case": list(files), "file": list(map(str, files.values()))}))


def unnamed(error: str, path: Path, name: str) -> str:
    """What is told of a file, without what it is called."""
    told = error.replace(str(path), name)
    return told if told.startswith(name) else f"{name} cannot be read; predict it by itself to be told why"


def default_scheme(cases: Iterable[Case]) -> SplitScheme:
    """As the parts in cases.csv say where any case names one, else by patients, else by strata.

    A set that names a part for some of its cases only, or another than train and test, is then refused by `CaseSet.split`.
    """
    from denseseg.cases.case_set import names_parts

    cases = list(cases)
    if names_parts(cases):
        return "paper"
    return "patients" if any(case.metadata.get("patient") for case in cases) else "stratified"


def main() -> None:
    """What the command runs: bad input ends in one line and the exit status 1."""
    command, bound, _ = app.parse_args(sys.argv[1:])
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    if command not in (app.help_print, app.version_print):
        from denseseg.errors import exit_status

        sys.exit(exit_status(lambda: command(*bound.args, **bound.kwargs)))
    command(*bound.args, **bound.kwargs)

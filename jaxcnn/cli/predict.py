"""`jaxcnn predict`: what a run's network says of image files."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import console, quiet

if TYPE_CHECKING:
    from jaxcnn.api.classify import Classifier

TOGETHER = 64
"""Images that are classified at once."""


@dataclass(frozen=True)
class Arguments(Common):
    """Classify image files by a run's network. --json prints a document for each image, on a line of its own."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of the run."""
    images: Annotated[Positional[tuple[str, ...]], arg(metavar="IMAGE ...")]
    """Files, folders (all images in them, and below), or - for names on standard input, a line each."""
    top: int = 3
    """Classes to name."""
    explain: Annotated[str | None, arg(metavar="DIR")] = None
    """Folder to draw in, for the first class of each image, where the network looked, by Grad-CAM."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="predict")
    quiet(debug=arguments.debug)
    if arguments.top < 1:
        raise ValueError(f"`top` (={arguments.top}) must be at least 1")
    if not arguments.images:
        raise ValueError("no images: give files, folders, or - for names on standard input")
    from jaxcnn import lowering, runs
    from jaxcnn.api.classify import classifier

    run = runs.Run.open(arguments.run)
    lowering.enable(run.config.lowering)
    classify = classifier(run)
    if arguments.explain is not None:
        Path(arguments.explain).mkdir(parents=True, exist_ok=True)
    bad, size, drawn = 0, 0, set[str]()
    for paths in _batches(_listed(arguments.images)):
        images: list[np.ndarray] = []
        kept: list[str] = []
        for path in paths:
            try:
                images.append(classify.read(path))
                kept.append(path)
            except (ValueError, OSError) as error:
                bad += 1
                _tell_bad(path, error, json_lines=arguments.json)
        if not images:
            continue
        size = size or len(paths)  # later batches are filled up to the first, so that no second program is compiled
        filled = [*images, *[images[-1]] * (size - len(images))]
        rows = classify(filled)[: len(images)]
        figures: list[str | None] = [None] * len(images)
        if arguments.explain is not None:
            figures[:] = _draw(classify, kept, filled, rows, Path(arguments.explain), drawn)
        for path, row, figure in zip(kept, rows, figures, strict=True):
            _tell(path, classify.classes, row, arguments.top, figure, json_lines=arguments.json)
        sys.stdout.flush()
    if drawn and not arguments.json:
        print(f"jaxcnn: {len(drawn)} figures in {arguments.explain}", file=sys.stderr)
    return 1 if bad else 0


def _listed(names: Sequence[str]) -> Iterator[str]:
    """Give all files that are asked for; a folder's in the order of their names."""
    from jaxcnn.data.listing import SUFFIXES

    for name in names:
        if name == "-":
            yield from filter(None, map(str.strip, sys.stdin))
        elif os.path.isdir(name):
            found = sorted(
                str(Path(inner, file))
                for inner, _, files in os.walk(name)
                for file in files
                if not file.startswith(".") and Path(file).suffix.lower() in SUFFIXES
            )
            if not found:
                raise ValueError(f"{name} holds no images ({', '.join(sorted(SUFFIXES))})")
            yield from found
        else:
            yield name


def _batches(paths: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for path in paths:
        batch.append(path)
        if len(batch) == TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _tell(
    path: str, classes: Sequence[str], row: np.ndarray, top: int, figure: str | None, *, json_lines: bool
) -> None:
    order = np.argsort(-row, kind="stable")[:top]
    if json_lines:
        said: dict[str, Any] = {
            "image": path,
            "predictions": [{"class": classes[at], "probability": float(row[at])} for at in order],
        }
        print(json.dumps(said | ({} if figure is None else {"figure": figure})))
    else:
        words = "  ".join(f"{classes[at]} {row[at]:.1%}" for at in order)
        console().print(f"{path}  {words}", markup=False, soft_wrap=True)


def _tell_bad(path: str, error: Exception, *, json_lines: bool) -> None:
    why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    if json_lines:
        print(json.dumps({"image": path, "error": why}))
    print(f"jaxcnn: {path}: {why}", file=sys.stderr)


def _draw(
    classify: "Classifier",
    paths: Sequence[str],
    images: Sequence[np.ndarray],
    rows: np.ndarray,
    folder: Path,
    drawn: set[str],
) -> list[str]:
    """Draw each image, and where the evidence for its first class lies; return the files."""
    from jaxcnn import explain

    first = rows.argmax(-1)
    targets = np.pad(first, (0, len(images) - len(first)))
    heats = np.asarray(explain.grad_cam(classify.logits, classify.prepared(images), target=targets))
    files = []
    for path, image, row, which, heat in zip(paths, images, rows, first, heats, strict=False):
        stem, number = Path(path).stem, 1
        while (name := stem if number == 1 else f"{stem}-{number}") in drawn:  # of another folder
            number += 1
        drawn.add(name)
        files.append(str(folder / f"{name}.png"))
        titles = ["", f"{classify.classes[which]} {row[which]:.1%}"]
        pictures, maps = np.stack([image / classify.white] * 2), np.stack([np.zeros_like(heat), heat])
        explain.draw_heat(pictures, maps, files[-1], titles=titles, columns=2)
    return files

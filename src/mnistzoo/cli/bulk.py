"""`mnistzoo predict -o`: a row of JSON for each image file, written as it is predicted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from mnistzoo._version import __version__
from mnistzoo.cli.console import print_record, progress
from mnistzoo.cli.images import image_files
from mnistzoo.cli.source import MAX_NAMED, check, load_arrays
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.text import escape_control

if TYPE_CHECKING:
    from mnistzoo.bulk.local_workers import LocalWorkers
    from mnistzoo.bulk.output import Rows
    from mnistzoo.bulk.predictor import Predictor
    from mnistzoo.bulk.ray_workers import RayWorkers


def predict_to_file(
    images: list[str],
    model: str,
    output: Path,
    *,
    show: bool,
    jobs: int | None,
    ray: str | None,
    format_: str,
) -> bool:
    """Append the row of each image file to `output`, print how many there are, and return success.

    Raises:
        InputError: A file is named twice, or `output` holds rows of other settings.
        FileReadError: A file or folder is missing or cannot be read.
        FileWriteError: `output` cannot be written.
        ClusterError: The processes or the cluster cannot be reached.
    """
    check(model)
    _check_images(images)
    from mnistzoo.bulk.output import Settings, open_rows
    from mnistzoo.bulk.predictor import Predictor

    arrays = load_arrays(model)
    settings = Settings(
        tuple(images), arrays.sha256, arrays.labels, arrays.style, show, __version__
    )
    with open_rows(output, settings) as rows:
        try:
            _append(images, rows, Predictor(arrays, show), jobs, ray)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Interrupted. {output} keeps {rows.count:,} rows. Run the same command again to "
                "resume."
            ) from None
        errors = f"{rows.errors:,} of them cannot be read" if rows.errors else "all could be read"
        record = {"path": str(output), "files": rows.count, "errors": rows.errors}
        print_record(format_, record, f"{output}: {rows.count:,} files, {errors}")
    return not rows.errors


def _check_images(images: list[str]) -> None:
    """Refuse files and folders that do not exist, that hold no images, or that are named twice."""
    named: dict[Path, str] = {}
    for image in images:
        _check_image(image)
        path = Path(image).resolve()
        if path in named:
            raise InputError(f"{image} is named twice. Name it once.")
        named[path] = image
    for path, image in named.items():
        for parent in path.parents:
            if parent in named:
                raise InputError(f"{image} is in {named[parent]}, which is named too. Name one.")


def _check_image(image: str) -> None:
    try:
        next(image_files(image))
    except MnistZooError as error:
        raise type(error)(f"{image or repr('')}: {error}") from error


def _append(
    images: list[str], rows: Rows, predictor: Predictor, jobs: int | None, ray: str | None
) -> None:
    """Predict the files that have no row yet, with a progress bar and lines for some errors."""
    from mnistzoo.bulk.predictor import File, read_file
    from mnistzoo.bulk.schedule import predict_files

    total = rows.count + sum(1 for _ in _remaining(images, rows))
    if total == rows.count:
        return
    files = map(File if ray is None else read_file, _remaining(images, rows))
    # Ray reports lost nodes on stdout, where only results belong.
    with (
        redirect_stdout(sys.stderr),
        closing(_workers(predictor, jobs, ray)) as workers,
        progress("files") as bar,
    ):
        task = bar.add_task("", total=total, completed=rows.count)
        for row in predict_files(files, workers):
            error = rows.append(row)
            if error is not None and rows.errors <= MAX_NAMED:
                bar.console.print(
                    escape_control(error), markup=False, highlight=False, soft_wrap=True
                )
            rate = bar.tasks[0].speed or 0
            bar.update(task, completed=rows.count, description=f"{rate:,.0f} files/s")


def _remaining(images: list[str], rows: Rows) -> Iterator[str]:
    """Yield the paths of the files that had no row when the rows were opened."""
    return (path for image in images for path in image_files(image) if path not in rows)


def _workers(predictor: Predictor, jobs: int | None, ray: str | None) -> LocalWorkers | RayWorkers:
    if ray is not None:
        from mnistzoo.bulk.ray_workers import RayWorkers

        return RayWorkers(predictor, ray)
    from mnistzoo.bulk.local_workers import LocalWorkers

    return LocalWorkers(predictor, jobs or count_cores())


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

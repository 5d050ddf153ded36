"""`trainer import`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from edge.console import Command, complain
from trainer.commands.shared import data_option, ended_by_signals, json_option
from trainer.errors import DataError
from trainer.tell import say, say_skipped


@click.command(
    "import", cls=Command, epilog="Example: trainer import project.tm --data gestures/data"
)
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_option
@click.option(
    "--labels", type=click.Path(path_type=Path),
    help="A labels.txt or metadata.json: names for class folders that are numbers.",
)  # fmt: skip
@click.option("--label", help="What the pictures show, where the archive does not say.")
@click.option("--session", help="A name for the session.  [default: the archive's]")
@click.option(
    "--flipped", is_flag=True,
    help="They are flipped left for right, as Teachable Machine's are; the Pi then does alike.",
)  # fmt: skip
@json_option
def import_(
    *,
    archives: tuple[Path, ...],
    data: Path,
    labels: Path | None,
    label: str | None,
    session: str | None,
    flipped: bool,
    as_json: bool,
) -> None:
    """Copy pictures into DATA from Teachable Machine, or from any zip of class folders.

    An ARCHIVE is a project saved as a file (.tm), the samples of a class, or a zip with a folder of
    pictures for each class. They become a new session; of a damaged archive nothing is taken.
    """
    from trainer.collect.label_lists import read_labels
    from trainer.collect.teachable import import_archive
    from trainer.progress import counting_bar

    names = read_labels(labels) if labels else []
    rows, told = [], set()
    for archive in archives:
        with ended_by_signals(), counting_bar("importing pictures") as progress:
            try:
                imported = import_archive(
                    archive, data, label=label, labels=names, session=session,
                    flipped=flipped or None, progress=progress,
                )  # fmt: skip
            except DataError as problem:  # the others have their turn all the same
                complain(problem)
                continue
            except KeyboardInterrupt:
                raise DataError(f"{archive}: stopped; nothing of it was imported") from None
        rows.append(imported.as_json())
        for note in imported.notes:
            if note not in told:  # what is true of three archives is read once
                say(f"note: {note}")
        told.update(imported.notes)
        say_skipped(imported.skipped, "file", "")
        if not as_json:
            counts = ", ".join(f"{number} of '{name}'" for name, number in imported.labels.items())
            click.echo(f"{archive}: {counts}; session {', '.join(imported.sessions)} in {data}")
    if as_json:
        click.echo(json.dumps(rows))
    sys.exit(len(rows) < len(archives))

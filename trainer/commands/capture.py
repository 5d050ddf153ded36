"""`trainer capture`."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import Literal

import click
import msgspec

from edge.card import WHITE_BALANCES
from edge.console import Command
from trainer.commands.shared import data_option, fetch_missing
from trainer.errors import DataError
from trainer.tell import say
from trainer.words import count, names


@click.command(
    "capture", cls=Command, epilog="Example: trainer capture rock -n 40 --source webcam:0"
)
@click.argument("label")
@click.option(
    "--source",
    help="pi, webcam:0, ssh://user@host (that Pi's camera), a folder, a video file or virtual.  "
    "[default: this camera]",
)
@click.option("-n", "number", type=click.IntRange(min=1), help="Stop after so many pictures.")
@data_option
@click.option(
    "--countdown", type=click.FloatRange(0, 60), default=3.0, show_default=True,
    help="Seconds to get ready in.",
)  # fmt: skip
@click.option(
    "--keep", type=click.Choice(["pictures", "hand", "face"]), default="pictures",
    show_default=True, help="hand, face: only where its points were, so that nobody can be seen.",
)  # fmt: skip
@click.option(
    "--white-balance", type=click.Choice(WHITE_BALANCES[1:]),
    help="The light to set the camera to; the Pi is then set alike.  [default: automatic]",
)  # fmt: skip
@click.option(
    "--exposure", type=click.FloatRange(0, 1, min_open=True), metavar="SECONDS",
    help="How long to let light in, such as 0.01; the Pi then does alike.  [default: automatic]",
)  # fmt: skip
@click.option(
    "--flip", is_flag=True,
    help="Flip pictures left for right, as a mirror does; the Pi then does alike.",
)  # fmt: skip
def capture(
    *,
    label: str,
    source: str | None,
    number: int | None,
    data: Path,
    countdown: float,
    keep: Literal["pictures", "hand", "face"],
    white_balance: str | None,
    exposure: float | None,
    flip: bool,
) -> None:
    """Record a session of LABEL into DATA/LABEL/<time>/: about eight pictures a second.

    Move your hand about a little while it runs: nearer, farther, turned. Ctrl-C ends it and keeps
    what there is. Record each gesture at least twice, at different times or places.
    """
    from edge.sources.taken import AUTOMATIC
    from trainer.collect.capture import capture as record
    from trainer.collect.capture import (
        folders_in,
        keep_picture,
        keep_points,
        open_for_capture,
        session_folder,
    )
    from trainer.collect.viewfinder import Viewfinder

    if not countdown >= 0:  # NaN is in any range
        raise click.UsageError(f"--countdown {countdown}: no number of seconds")
    folder = session_folder(data, label)
    if keep != "pictures":
        fetch_missing([keep])
    keeping = keep_picture if keep == "pictures" else keep_points(keep, label)
    taken = msgspec.structs.replace(
        AUTOMATIC, white_balance=white_balance, exposure=exposure, horizontal_flip=flip
    )
    if taken.fault:  # an exposure of NaN is in any range
        raise click.UsageError(taken.fault)
    camera = open_for_capture(source, label, data, taken)
    if inner := folders_in(source):
        say(
            f"note: the pictures of {names(inner)} become one session of '{label}'; if they are "
            f"several, one at a time: --source {shlex.quote(str(Path(source or '', inner[0])))}"
        )
    shots = record(camera, folder, number=number, countdown=countdown, keep=keeping)
    # Closed by hand, as what it leaves is counted below.
    stopped = False
    with Viewfinder(label, number) as viewfinder, closing(shots):
        try:
            for shot in shots:
                viewfinder.show(shot)
        except KeyboardInterrupt:
            stopped = True
            say("stopped")
    kept = len(list(folder.glob("[0-9]*")))  # Ctrl-C may come between keeping and showing one
    what = count(kept, "picture") if keep == "pictures" else f"the points in {count(kept, 'frame')}"
    if not kept:
        raise DataError(f"{label}: it ended before the first picture; nothing was recorded")
    click.echo(f"kept {what} of '{label}' in {folder}")
    if number and kept < number and not stopped:
        say(f"note: {source or 'the source'} ended with {kept} of {number}")

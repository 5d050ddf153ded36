"""The `edge` command: `edge`, and `python -m edge`."""

import os
import signal

from edge.startup import hurry


def main() -> None:
    """Run the command."""
    # Ctrl-C while modules load: no traceback. What must be cleaned up sets a handler of its own.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    hurry()
    from edge.cli import main

    main(prog_name="edge")


if __name__ == "__main__":
    main()

"""The `edge` command: `edge`, and `python -m edge`."""

from edge.startup import hurry


def main() -> None:
    """Run the command."""
    hurry()
    from edge.cli import main

    main(prog_name="edge")


if __name__ == "__main__":
    main()

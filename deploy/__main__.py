"""`python -m deploy` is `deploy`."""

from deploy.cli import main

main(prog_name="deploy")

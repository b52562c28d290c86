"""`python -m e2pose` is `e2pose`."""

from e2pose.cli.app import main

main()

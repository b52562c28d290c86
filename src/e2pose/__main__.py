"""Runs the command line interface: `python -m e2pose` is the same as `e2pose`."""

import sys

from e2pose.cli.app import main

sys.exit(main())

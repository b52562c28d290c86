"""`python -m e2pose` is `e2pose`."""

import sys

from e2pose.cli.app import main

sys.exit(main())

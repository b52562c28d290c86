"""Reading of JSON files with annotations or results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from e2pose.core.errors import AnnotationError
from e2pose.core.files import LFS_POINTER, read_text, reason_of

_START = 20  # characters of a file that an error shows


def load_json(path: str | Path, what: str, hint: str) -> Any:  # noqa: ANN401
    """Returns the content of a JSON file; errors call the file `what`, such as "the annotations".

    Raises:
        AnnotationError: The file cannot be read or is not JSON.
    """
    try:
        text = read_text(path)
        return json.loads(text)
    except json.JSONDecodeError as error:
        start = " ".join(text[:_START].split())
        reason = f"it is not valid JSON: {error}"
        if not text.strip():
            reason = "it is empty"
        elif text.startswith(LFS_POINTER.decode()):
            reason, hint = "it is a pointer of Git LFS, not the file", "download the file with: git lfs pull"
        elif error.pos == 0:
            reason = f"it is not JSON; it starts with {start!r}"
        elif error.msg == "Extra data":
            reason = "it must have one JSON value, but more text follows, as in JSON lines"
        raise AnnotationError(f"cannot read {what} '{path}': {reason}", hint) from error
    except RecursionError as error:
        raise AnnotationError(f"cannot read {what} '{path}': its lists are nested too deeply", hint) from error
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise AnnotationError(f"cannot read {what} '{path}': {reason}", hint) from error

"""The description of the interface as OpenAPI: `openapi.json` with the values of the running server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

_DESCRIPTION = Path(__file__).with_name("openapi.json")


def describe_api(models: Iterable[str], *, needs_token: bool) -> dict[str, Any]:
    """Returns the description.

    Args:
        models: Names of the models.
        needs_token: Whether the server requires a token.
    """
    description: dict[str, Any] = json.loads(_DESCRIPTION.read_text(encoding="utf-8"))
    description["info"]["version"] = version("e2pose")
    parameters = description["paths"]["/v1/poses"]["post"]["parameters"]
    next(parameter for parameter in parameters if parameter["name"] == "model")["schema"]["enum"] = list(models)
    if not needs_token:
        del description["security"], description["components"]["securitySchemes"]
    return description

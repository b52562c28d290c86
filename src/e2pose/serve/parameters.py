"""Query parameters of requests and settings of live sessions, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from starlette.datastructures import QueryParams

from e2pose.render.blur import Blur
from e2pose.serve.problems import RequestError


def check_names(query: QueryParams, accepted: tuple[str, ...]) -> None:
    """Checks that a query has accepted parameters only, each once.

    Raises:
        RequestError: It has others.
    """
    for name in query:
        if name not in accepted:
            raise RequestError(422, f"unknown parameter '{name}'", f"accepted parameters are {', '.join(accepted)}")
        if len(query.getlist(name)) > 1:
            raise RequestError(422, f"the parameter '{name}' is given several times", "use it once")


def parse_threshold(value: object) -> float | None:
    """Returns a threshold, given as number or text; None if it is None.

    Raises:
        RequestError: It is not a number from 0 to 1.
    """
    if value is None:
        return None
    try:
        threshold = float("nan") if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        threshold = float("nan")
    if not 0 <= threshold <= 1:
        raise RequestError(422, f"'threshold' must be a number from 0 to 1, not {_quote(value)}", "for example 0.4")
    return threshold


def parse_blur(value: object) -> Blur | None:
    """Returns a region to blur; None if it is None.

    Raises:
        RequestError: It is not one.
    """
    for region in get_args(Blur):
        if value == region:
            return region  # type: ignore[no-any-return]
    if value is not None:
        raise RequestError(
            422, f"'blur' must be one of {', '.join(get_args(Blur))}, not {_quote(value)}", "omit it to blur nothing"
        )
    return None


@dataclass(frozen=True)
class LiveSettings:
    """Settings of a live session, which may change between frames."""

    threshold: float | None = None  # None for that of the model
    track: bool = False
    smooth: bool = False

    @staticmethod
    def from_query(query: QueryParams) -> LiveSettings:
        """Reads the settings from the address of the session.

        Raises:
            RequestError: A parameter is unknown or invalid.
        """
        check_names(query, ("model", "threshold", "track", "smooth"))
        return LiveSettings(
            parse_threshold(query.get("threshold")),
            _parse_flag("track", query.get("track", "0")),
            _parse_flag("smooth", query.get("smooth", "0")),
        )

    def changed(self, changes: object) -> LiveSettings:
        """Returns the settings with the changes of a message.

        Raises:
            RequestError: The message has an unknown or invalid entry.
        """
        if not isinstance(changes, Mapping):
            raise RequestError(422, "settings must be a JSON object", 'for example {"threshold": 0.3}')
        parsed: dict[str, Any] = {}
        for name, value in changes.items():
            if name == "threshold":
                parsed[name] = parse_threshold(value)
            elif name in ("track", "smooth"):
                parsed[name] = _parse_flag(name, value)
            else:
                raise RequestError(
                    422, f"unknown setting {_quote(name)}", "accepted settings are threshold, track, smooth"
                )
        return replace(self, **parsed)


def _parse_flag(name: str, value: object) -> bool:
    if value in (True, "1", "true"):
        return True
    if value in (False, "0", "false"):
        return False
    raise RequestError(422, f"'{name}' must be 0 or 1, not {_quote(value)}", "use 1 for yes and 0 for no")


def _quote(value: object) -> str:
    return f"'{str(value)[:40]}'"

"""Media types of requests and answers."""

from __future__ import annotations

from typing import Literal, get_args

from e2pose.serve.problems import RequestError

Answer = Literal["application/json", "image/jpeg", "image/png"]
"""Media types of the answer to an image; the first one is the default."""


def check_content_type(value: str) -> None:
    """Checks the `Content-Type` of an image; an empty one is accepted.

    Raises:
        RequestError: It is no type of an image.
    """
    media_type = value.partition(";")[0].strip().lower()
    if media_type and media_type != "application/octet-stream" and not media_type.startswith("image/"):
        raise RequestError(
            415,
            f"the body must be an image, not '{media_type[:100]}'",
            "send the bytes of the image with the header 'Content-Type: image/jpeg'",
            {"Accept": "image/*, application/octet-stream"},
        )


def accepted_type(accept: str) -> Answer:
    """Returns the media type for the header `Accept`: the one with the highest weight, and the first of several.

    Raises:
        RequestError: None is accepted.

    Source: RFC 9110, section 12.5.1.
    """
    ranges = [_parse_range(part) for part in (accept or "*/*").split(",")]
    for pattern, weight in sorted(ranges, key=lambda entry: -entry[1]):
        for answer in get_args(Answer) if weight > 0 else ():
            if pattern in (answer, answer.partition("/")[0] + "/*", "*/*"):
                return answer  # type: ignore[no-any-return]
    raise RequestError(
        406,
        f"the header Accept, '{accept[:100]}', names no type of an answer",
        f"use one of {', '.join(get_args(Answer))}",
    )


def _parse_range(text: str) -> tuple[str, float]:
    pattern, *parameters = (part.strip().lower() for part in text.split(";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    try:
        return pattern, float(weights[0]) if weights else 1.0
    except ValueError:
        return pattern, 0.0

"""Errors and warnings of e2pose.

    E2PoseError
    ├── OptionError              an argument has an invalid value
    ├── InputError               an image, video or camera cannot be read
    ├── OutputError              a result cannot be written
    ├── SchemaError              a keypoint schema is invalid
    ├── AnnotationError          an annotation file cannot be used
    ├── ModelError               a model is unknown, damaged or incompatible
    │   └── RuntimeChoiceError   the requested runtime, device or precision is not available
    ├── MissingExtraError        an optional dependency is not installed
    ├── TrainingError            a training run cannot start or continue
    └── PeerError                a peer of the benchmark cannot be installed or run

    UserWarning
    ├── AccuracyWarning          a model may be less accurate on this machine than elsewhere
    ├── SkippedImagesWarning     a file holds several images, of which only the first is used
    └── FallbackWarning          a fallback replaces an unavailable runtime, device or precision

Every error has a `message`, which names the value received and what is accepted, and a `hint` with the next step.
Addresses in them are shown without credentials and query. Errors can be pickled, so that they pass between processes.
"""

from __future__ import annotations

from typing import Self

from e2pose.core.address import redact_text


class E2PoseError(Exception):
    """Base class of all errors of e2pose.

    Args:
        message: What is wrong: the value received, and what is accepted.
        hint: The next step, as an instruction.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = redact_text(message)
        self.hint = redact_text(hint)
        super().__init__(self.message)


class OptionError(E2PoseError, ValueError):
    """An argument has an invalid value."""


class InputError(E2PoseError):
    """An image, video or camera cannot be read."""


class OutputError(E2PoseError):
    """A result cannot be written."""


class SchemaError(E2PoseError, ValueError):
    """A keypoint schema is invalid."""


class AnnotationError(E2PoseError):
    """An annotation file cannot be used."""


class ModelError(E2PoseError):
    """A model is unknown, damaged or incompatible."""


class RuntimeChoiceError(ModelError):
    """The requested runtime, device or precision is not available."""


class MissingExtraError(E2PoseError, ImportError):
    """An optional dependency is not installed; `extra` is the extra of e2pose that installs the package."""

    def __init__(self, package: str, extra: str) -> None:
        self._package_extra = package, extra
        super().__init__(
            f"the package '{package}' is required but not installed",
            f"install it with: pip install 'e2pose[{extra}]'",
        )

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), self._package_extra


class TrainingError(E2PoseError):
    """A training run cannot start or continue."""


class PeerError(E2PoseError):
    """A peer of the benchmark cannot be installed or run; the message is a single line."""


class AccuracyWarning(UserWarning):
    """A model may be less accurate on this machine than elsewhere."""


class SkippedImagesWarning(UserWarning):
    """A file holds several images, of which only the first is used."""


class FallbackWarning(UserWarning):
    """A fallback replaces an unavailable runtime, device or precision."""

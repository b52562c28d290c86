"""Every error that e2pose raises on purpose, in one tree.

    E2PoseError
    ├── OptionError          an argument has a value that is not accepted
    ├── InputError           a picture, video or camera cannot be read
    ├── OutputError          a result cannot be written
    ├── SchemaError          a keypoint schema contradicts itself
    ├── AnnotationError      a file of annotations cannot be used
    ├── ModelError           a model is unknown, damaged or does not fit
    │   └── RuntimeChoiceError   the runtime or device asked for is not available
    ├── MissingExtraError    an optional dependency is not installed
    ├── TrainingError        a training cannot start or go on
    └── PeerError            a peer in the benchmark cannot be installed or run

Each error says what is wrong with the value received and what is accepted (`message`), and what to do about it
(`hint`).
"""


class E2PoseError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What is wrong, with the value received and what is accepted.
        hint: What to do about it; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class OptionError(E2PoseError, ValueError):
    """An argument has a value that is not accepted."""


class InputError(E2PoseError):
    """A picture, video or camera cannot be read."""


class OutputError(E2PoseError):
    """A result cannot be written."""


class SchemaError(E2PoseError, ValueError):
    """A keypoint schema contradicts itself."""


class AnnotationError(E2PoseError):
    """A file of annotations cannot be used."""


class ModelError(E2PoseError):
    """A model is unknown, damaged or does not fit."""


class RuntimeChoiceError(ModelError):
    """The runtime or device asked for is not available."""


class MissingExtraError(E2PoseError, ImportError):
    """An optional dependency is not installed.

    Args:
        package: The module that could not be imported.
        extra: The extra of e2pose that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            f"install it with: pip install 'e2pose[{extra}]'",
        )


class TrainingError(E2PoseError):
    """A training cannot start or go on."""


class PeerError(E2PoseError):
    """A peer in the benchmark cannot be installed or run; the message is one line about it alone."""


class AccuracyWarning(UserWarning):
    """A model may be less precise on this machine than it is elsewhere."""


class FallbackWarning(UserWarning):
    """What was asked for is not available, and something else is used because that was allowed."""

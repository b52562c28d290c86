"""Opening of HDF5 files, without unpickling anything in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e2pose.core.errors import AnnotationError, E2PoseError, MissingExtraError

if TYPE_CHECKING:
    import h5py


@contextmanager
def open_hdf5(path: Path, hint: str) -> Iterator[h5py.File]:
    """Opens a file for reading; what the block cannot find or read in it is an error with this hint.

    Raises:
        AnnotationError: The file, or an entry of it, cannot be read.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "labels") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except E2PoseError:
        raise
    except OSError as error:
        raise AnnotationError(f"cannot read '{path}': {' '.join(str(error).split())}", hint) from error
    except KeyError as error:
        raise AnnotationError(f"cannot read '{path}': {' '.join(str(error.args[0]).split())}", hint) from error
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        reason = "an entry has another form than the tool writes"
        raise AnnotationError(f"cannot read '{path}': {reason}", hint) from error

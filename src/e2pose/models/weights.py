"""Weights on disk: safetensors files that carry the network's configuration and the spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from e2pose.core.errors import ModelError
from e2pose.core.files import atomic_path, check_model_file
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.paper import E2Pose

NETWORK_KEY = "e2pose.network"
"""The metadata key of the network's configuration, as JSON."""

MAX_F32_KERNEL_SIZE = 16384
"""Kernels with more elements are stored in half precision where it is chosen. Smaller ones hardly contribute to the
size of a file, and the precision of all later layers depends on them."""


def save_weights(path: str | Path, network: E2Pose, spec: ModelSpec, dtype: torch.dtype = torch.float32) -> None:
    """Writes weights with configuration and spec, without the layers that only training uses.

    Args:
        path: A `.safetensors` file.
        network: The network.
        spec: Its spec.
        dtype: Storage type of kernels with more than `MAX_F32_KERNEL_SIZE` elements, which is nearly everything:
            `torch.float16` halves the file. The statistics of batch norms require float32.

    Raises:
        OutputError: The file cannot be written.
    """
    state = {
        name: (value.to(dtype) if value.dim() > 1 and value.numel() > MAX_F32_KERNEL_SIZE else value).contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.startswith("head.one_to_many.")
    }
    metadata = {METADATA_KEY: spec.to_json(), NETWORK_KEY: network.config.model_dump_json()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata)


def load_weights(path: str | Path) -> tuple[E2Pose, ModelSpec]:
    """Builds the network of a file with its weights, in float32 and in evaluation mode.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
    """
    check_model_file(Path(path))
    with _open(path) as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    spec = ModelSpec.from_metadata(metadata, str(path))
    network = build_network(_read_config(metadata, path), len(spec.schema))
    try:
        network.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in state.items()})
    except RuntimeError as error:
        raise _mismatch(path, error) from error
    return network.eval(), spec


def load_config(path: str | Path) -> NetworkConfig:
    """Reads the configuration of a file without its weights.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
    """
    with _open(path) as file:
        metadata = file.metadata() or {}
    ModelSpec.from_metadata(metadata, str(path))
    return _read_config(metadata, path)


def load_backbone(network: E2Pose, path: Path) -> None:
    """Loads ImageNet weights with torchvision's names into the backbone.

    Entries with the names of the network's fine features and their towers are loaded as well. All others, such as a
    classifier, are skipped.

    Args:
        network: The network; changed in place.
        path: A `.pth` file with a state dict. Code in it is not executed.

    Raises:
        ModelError: The file cannot be read, or lacks weights of the backbone.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = network.backbone.state_dict()
        network.backbone.load_state_dict({name: state[name] for name in names if name in state or _is_required(name)})
        fine = {name: state[name] for name in network.state_dict() if name.startswith("fine_") and name in state}
        network.load_state_dict(fine, strict=False)
    except Exception as error:  # torch raises many kinds for a bad file
        raise ModelError(
            f"cannot load the backbone's weights from '{path}': {error}",
            "use a state dict of this backbone with torchvision's parameter names",
        ) from error


def _is_required(name: str) -> bool:
    return not name.endswith("num_batches_tracked")  # very old files lack these counters, which nothing reads


@contextmanager
def _open(path: str | Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"cannot read the weights '{path}': {error}", "check the path, or download the file again"
        ) from error


def _read_config(metadata: Mapping[str, str], path: str | Path) -> NetworkConfig:
    try:
        return NetworkConfig.model_validate_json(metadata[NETWORK_KEY])
    except (KeyError, ValidationError) as error:
        raise _mismatch(path, error) from error


def _mismatch(path: str | Path, error: Exception) -> ModelError:
    return ModelError(
        f"the weights in '{path}' do not fit the network in their metadata: {error}",
        "save the weights again with this version of e2pose",
    )

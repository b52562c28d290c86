"""Weights on disk: one safetensors file that says what network it is for and how to use it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from e2pose.core.errors import ModelError
from e2pose.core.files import atomic_path
from e2pose.core.spec import METADATA_KEY, ModelSpec
from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig
from e2pose.models.e2pose import E2Pose

NETWORK_KEY = "e2pose.network"

HALVED_ABOVE = 16384
"""Numbers of a kernel above which half precision pays. Smaller ones are next to nothing of a file, and everything else
builds on them."""


def save_weights(path: str | Path, network: E2Pose, spec: ModelSpec, dtype: torch.dtype = torch.float32) -> None:
    """Writes the weights with their description, without what only training needs.

    Args:
        path: A `.safetensors` file.
        network: The weights to write.
        spec: How to use it.
        dtype: Storage type of kernels of more than `HALVED_ABOVE` numbers, nearly all there is: `torch.float16` halves
            the file. The statistics of batch norms need more digits than that.

    Raises:
        OutputError: The file cannot be written.
    """
    state = {
        name: (value.to(dtype) if value.dim() > 1 and value.numel() > HALVED_ABOVE else value).contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.startswith("head.one_to_many.")
    }
    metadata = {METADATA_KEY: spec.to_json(), NETWORK_KEY: network.config.model_dump_json()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata)


def load_weights(path: str | Path) -> tuple[E2Pose, ModelSpec]:
    """Reads weights and builds their network, in float32 and in evaluation mode.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    spec = ModelSpec.from_metadata(metadata, str(path))
    network = build_network(_config(metadata, path), len(spec.schema))
    try:
        network.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in state.items()})
    except RuntimeError as error:
        raise _misfit(path, error) from error
    return network.eval(), spec


def load_config(path: str | Path) -> NetworkConfig:
    """Reads which network weights are for, but not the weights.

    Raises:
        ModelError: The file is missing, damaged or not written by e2pose.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    ModelSpec.from_metadata(metadata, str(path))
    return _config(metadata, path)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"cannot read the weights '{path}': {error}", "check the path, or fetch the file again"
        ) from error


def _config(metadata: Mapping[str, str], path: str | Path) -> NetworkConfig:
    try:
        record = json.loads(metadata[NETWORK_KEY])
        if "refinements" in record:  # until the bundled files are rewritten
            fine = {"steps": record["fine_refinements"], "num_large_kernel_blocks": record.get("context", (3, 1))}
            fine["half_resolution_branch"] = record.get("half_size", False)
            refinement = {"steps": record["refinements"], "fine": fine if fine["steps"] else None}
            record = {name: record[name] for name in ("backbone", "strides", "width", "head_depth")}
            record["refinement"] = refinement if refinement["steps"] else None
        return NetworkConfig.model_validate(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _misfit(path, error) from error


def _misfit(path: str | Path, error: Exception) -> ModelError:
    return ModelError(f"the weights '{path}' do not fit the network they name: {error}")

"""Fakes of TensorRT and CUDA: buffers lie in the memory of the process, and ONNX Runtime runs the graphs."""

import ctypes
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest


@contextmanager
def tensorrt_installed(version: str = "10.7.0", gpu: str = "Fake GPU 9000") -> Iterator[ModuleType]:
    """Installs the fakes, with a single GPU, for the duration of the context."""
    with pytest.MonkeyPatch.context() as patch:
        tensorrt, cuda, bindings = _tensorrt(version), ModuleType("cuda"), ModuleType("cuda.bindings")
        bindings.runtime = _cuda(gpu)
        modules = {"tensorrt": tensorrt, "cuda": cuda, "cuda.bindings": bindings}
        for name, module in {**modules, "cuda.bindings.runtime": bindings.runtime}.items():
            patch.setitem(sys.modules, name, module)
        for name, module in (("engine", tensorrt), ("tensorrt", tensorrt), ("gpu", bindings.runtime)):
            imported = import_module(f"e2pose.runtimes.{name}")  # may refer to earlier fakes
            patch.setattr(imported, "cuda" if name == "gpu" else "tensorrt", module)
        yield tensorrt


def _cuda(gpu: str) -> ModuleType:
    module = ModuleType("cuda.bindings.runtime")
    allocations: dict[int, object] = {}
    success, invalid_device = 0, 101

    def malloc(size):
        buffer = ctypes.create_string_buffer(size)
        allocations[ctypes.addressof(buffer)] = buffer
        return success, ctypes.addressof(buffer)

    def copy(to, origin, size, kind, stream):
        assert (origin if kind == "out" else to) in allocations
        ctypes.memmove(to, origin, size)
        return (success,)

    properties = SimpleNamespace(name=gpu.encode() + b"\0\0", major=8, minor=7)
    module.allocations = allocations
    module.cudaGetDeviceProperties = lambda index: (success, properties) if index == 0 else (invalid_device, None)
    module.cudaSetDevice = lambda index: (success,)
    module.cudaStreamCreate = lambda: (success, 7)
    module.cudaStreamSynchronize = lambda stream: (success,)
    module.cudaMalloc = malloc
    module.cudaFree = lambda address: (success if allocations.pop(address, None) else invalid_device,)
    module.cudaMemcpyAsync = copy
    module.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
    return module


class Flag(IntEnum):
    FP16 = 0
    BF16 = 1
    TF32 = 2


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1


class Config:
    def __init__(self):
        self.flags = {Flag.TF32}
        self.profiles = []
        self.set_flag, self.clear_flag = self.flags.add, self.flags.discard
        self.add_optimization_profile = self.profiles.append


class Profile:
    def set_shape(self, name, smallest, typical, largest):
        self.shapes = {name: (smallest, typical, largest)}


class Builder:
    """Builds engines that consist of a magic word, the input size, and the ONNX file."""

    built: list[Config]

    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags):
        return SimpleNamespace(flags=flags)

    create_builder_config = staticmethod(Config)
    create_optimization_profile = staticmethod(Profile)

    def build_serialized_network(self, network, config):
        self.built.append(config)
        if "broken" in network.session.get_modelmeta().graph_name:
            self.logger.log(Severity.ERROR, "no kernel fits")
            return None
        return memoryview(b"plan" + struct.pack(">2H", *network.pixels.shape[2:]) + network.content)


class Parser:
    def __init__(self, network, logger):
        self.network = network

    def parse(self, content):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        shapes = [tuple(-1 if isinstance(axis, str) else axis for axis in one.shape) for one in session.get_inputs()]
        self.network.content, self.network.session = content, session
        self.network.num_inputs = len(shapes)
        self.network.pixels = SimpleNamespace(shape=shapes[0])
        self.network.get_input = [self.network.pixels].__getitem__
        return True


class Engine:
    def __init__(self, plan):
        self.session = onnxruntime.InferenceSession(plan[8:], providers=["CPUExecutionProvider"])
        ports = [*self.session.get_inputs(), *self.session.get_outputs()]
        batch = -1 if isinstance(ports[0].shape[0], str) else ports[0].shape[0]
        pixels = np.zeros((abs(batch), 3, *struct.unpack(">2H", plan[4:8])), np.uint8)
        values = [pixels, *self.session.run(None, {"pixels": pixels})]
        self.shapes = {one.name: (batch, *value.shape[1:]) for one, value in zip(ports, values, strict=True)}
        self.num_io_tensors = len(ports)
        self.get_tensor_name = [one.name for one in ports].__getitem__
        self.get_tensor_shape = self.shapes.__getitem__

    def create_execution_context(self):
        return Context(self)


class Context:
    def __init__(self, engine):
        self.session, self.addresses = engine.session, {}
        self.set_tensor_address = self.addresses.__setitem__

    def set_input_shape(self, name, shape):
        self.shape = shape

    def execute_async_v3(self, stream):
        assert stream == 7
        size = int(np.prod(self.shape))
        pixels = np.frombuffer(ctypes.string_at(self.addresses["pixels"], size), np.uint8).reshape(self.shape)
        names = [one.name for one in self.session.get_outputs()]
        for name, array in zip(names, self.session.run(names, {"pixels": pixels}), strict=True):
            content = np.ascontiguousarray(array).tobytes()
            ctypes.memmove(self.addresses[name], content, len(content))
        return True


def _tensorrt(version: str) -> ModuleType:
    module = ModuleType("tensorrt")
    module.__version__ = version
    module.Builder = type("Builder", (Builder,), {"built": []})
    module.OnnxParser = Parser
    module.BuilderFlag = Flag
    module.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)
    module.ILogger = type("ILogger", (), {"Severity": Severity})
    engine = lambda plan: Engine(plan) if plan.startswith(b"plan") else None  # noqa: E731
    module.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=engine)
    return module

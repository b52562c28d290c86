"""The TensorRT runtime, on a fake of TensorRT and CUDA: the calls are tested, not the results of a GPU."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from e2pose.core.errors import ModelError, RuntimeChoiceError
from e2pose.runtimes.options import RuntimeOptions
from helpers.fake_gpu import Flag, tensorrt_installed
from helpers.synthetic import TINY_KEYPOINTS

WHITE = np.full((2, 3, 64, 64), 255, np.uint8)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def open_tensorrt(path: Path, **options):
    from e2pose.runtimes.tensorrt import TensorRtRuntime

    return TensorRtRuntime(path, RuntimeOptions("tensorrt", **options))


def engines(home: Path) -> list[Path]:
    return sorted(home.rglob("*.engine"))


def test_engine_is_built_once_per_precision_version_and_gpu(tiny_model: Path, home: Path) -> None:
    with tensorrt_installed() as tensorrt:
        built = tensorrt.Builder.built
        runtime = open_tensorrt(tiny_model)
        assert np.allclose(runtime(WHITE).keypoints, TINY_KEYPOINTS)
        assert runtime.spec.name == "tiny"
        assert runtime.description == ("tensorrt 10.7.0 on cuda:0 (Fake GPU 9000, compute capability 8.7) in f16")
        open_tensorrt(tiny_model)
        assert [config.flags for config in built] == [{Flag.FP16, Flag.TF32}]
        open_tensorrt(tiny_model, precision="f32")
        open_tensorrt(tiny_model, precision="bf16")
        assert [config.flags for config in built[1:]] == [set(), {Flag.BF16, Flag.TF32}]
        assert built[0].profiles[0].shapes == {"pixels": ((1, 3, 64, 64), (1, 3, 64, 64), (8, 3, 64, 64))}
    assert len(engines(home)) == 3
    with tensorrt_installed(version="10.8.0") as tensorrt:
        open_tensorrt(tiny_model)
        assert len(tensorrt.Builder.built) == 1
    with tensorrt_installed(gpu="Fake GPU 10") as tensorrt:
        open_tensorrt(tiny_model)
        assert len(tensorrt.Builder.built) == 1
    assert len(engines(home)) == 5


def test_large_batch_is_split(tiny_model: Path) -> None:
    pixels = np.repeat(np.arange(19, dtype=np.uint8)[:, None], 3 * 64 * 64, axis=1).reshape(19, 3, 64, 64)
    with tensorrt_installed():
        candidates = open_tensorrt(tiny_model)(pixels)
    assert np.allclose(candidates.scores[:, 0], np.arange(19) / 255)


def test_engine_of_another_machine_is_rejected(tiny_model: Path, home: Path) -> None:
    with tensorrt_installed():
        open_tensorrt(tiny_model)
        (engine,) = engines(home)
        assert open_tensorrt(engine).spec.name == "tiny"
        with pytest.raises(RuntimeChoiceError, match="runs in f16, not in f32"):
            open_tensorrt(engine, precision="f32")
    with (
        tensorrt_installed(version="11.4.0"),
        pytest.raises(RuntimeChoiceError, match=r"built by TensorRT 10\.7\.0 and cannot be used by TensorRT 11\.4\.0"),
    ):
        open_tensorrt(engine)
    with tensorrt_installed(gpu="Other"), pytest.raises(RuntimeChoiceError, match=r"built on Fake GPU 9000.* on Other"):
        open_tensorrt(engine)


def test_tensorrt_without_precision_flags_runs_in_f32(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tensorrt_installed(version="11.4.0") as tensorrt:
        monkeypatch.setattr(tensorrt, "BuilderFlag", type("BuilderFlag", (), {"TF32": Flag.TF32}))
        monkeypatch.setattr(tensorrt, "NetworkDefinitionCreationFlag", type("Flags", (), {}))
        assert open_tensorrt(tiny_model).description.endswith(" in f32")
        with pytest.raises(RuntimeChoiceError, match=r"TensorRT 11\.4\.0 runs in the precision of the graph"):
            open_tensorrt(tiny_model, precision="f16")


@pytest.mark.parametrize(
    "content", [b"", b"e2pose engine 1\n", b"plan" * 9, b"e2pose engine 1\n\0\0\0\0\0\0\0\2{}plan"]
)
def test_file_that_is_not_an_engine_is_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.engine"
    path.write_bytes(content)
    with tensorrt_installed(), pytest.raises(ModelError, match=r"bad\.engine' does not exist or is not an engine"):
        open_tensorrt(path)


def test_damaged_engine_is_reported(tiny_model: Path, home: Path) -> None:
    with tensorrt_installed():
        open_tensorrt(tiny_model)
        (engine,) = engines(home)
        engine.write_bytes(engine.read_bytes().replace(b"plan", b"plum"))
        with pytest.raises(ModelError, match="cannot be loaded"):
            open_tensorrt(engine)


def test_failed_build_gives_the_reason_and_leaves_no_file(tiny_model: Path, tmp_path: Path, home: Path) -> None:
    model = onnx.load(tiny_model)
    model.graph.name = "broken"
    onnx.save(model, tmp_path / "broken.onnx")
    with tensorrt_installed(), pytest.raises(ModelError, match=r"cannot build 'broken\.onnx': no kernel fits"):
        open_tensorrt(tmp_path / "broken.onnx")
    assert engines(home) == []


def test_unavailable_device_is_reported(tiny_model: Path) -> None:
    with tensorrt_installed():
        with pytest.raises(RuntimeChoiceError, match="the GPU 'cuda:3' is not available"):
            open_tensorrt(tiny_model, device="cuda:3")
        with pytest.raises(RuntimeChoiceError, match="cannot run on 'cpu'"):
            open_tensorrt(tiny_model, device="cpu")


def test_gpu_memory_is_freed(tiny_model: Path) -> None:
    with tensorrt_installed():
        runtime = open_tensorrt(tiny_model)
        runtime(WHITE)
        from cuda.bindings import runtime as cuda

        assert len(cuda.allocations) == 4
        runtime(np.concatenate([WHITE] * 4))
        assert len(cuda.allocations) == 4
        del runtime
        assert not cuda.allocations

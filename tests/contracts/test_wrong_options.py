"""Every option of every command answers wrong values with `error:` and `hint:` and the exit code 1 or 2."""

import pytest

from e2pose.cli.app import main

# Each command with inputs that do not exist: an accepted value ends in an error, too.
COMMANDS = {
    "predict missing.jpg": "allow-fallback blur device fps input-size keypoint-threshold model output precision quiet "
    "runtime smooth threads threshold track",
    "evaluate missing.json missing/": "category detections device input-size json limit precision protocol report "
    "runtime schema threads threshold",
    "train missing.toml": "data output profile resume set",
    "export missing.onnx": "annotated-images annotations batch-size device images input-size name precision "
    "threshold to",
    "convert missing.pb out.onnx": "images name",
    "bench missing.jpg": "annotations frames models output overlay peer peers rebuild reference rounds scenes threads "
    "warm-up",
    "serve --model missing.onnx": "allow-host allow-origin device host input-size max-megabytes max-megapixels "
    "max-sessions parallel port precision queue runtime threads timeout tls-cert tls-key token-file",
    "models": "missing",
    "doctor data missing/": "augmented count images json sheet",
}
VALUES = ["", " ", "nan", "inf", "-1", "-0.5", "1e999", "9" * 40, "2.5", "0x10", "abc", "None", "no/such", ".", "ü"]


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command, options in COMMANDS.items() for option in options.split()]
)
def test_wrong_values_of_options_are_errors_with_hints(tmp_path, monkeypatch, capsys, command, option):
    monkeypatch.chdir(tmp_path)
    problems = []
    for value in VALUES:
        try:
            code = main([*command.split(), f"--{option}", value])
        except BaseException as error:
            problems.append(f"{value!r}: raw {type(error).__name__}: {str(error)[:150]}")
            continue
        printed = capsys.readouterr()
        if code not in (1, 2) or "error: " not in printed.err or "hint: " not in printed.err:
            problems.append(f"{value!r}: exit code {code}: {printed.out[:60]!r} {printed.err[:150]!r}")
        elif "Traceback" in printed.err or max(map(len, printed.err.splitlines())) > 1500:
            problems.append(f"{value!r}: {printed.err[:200]!r}")
    assert not problems, "\n".join(problems)

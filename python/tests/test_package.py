"""The package: errors as a tree, stubs that agree with the module, the demo, and a wheel for every Python from 3.10 on."""

from __future__ import annotations

import ast
import inspect
import os
import pickle
import re
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import framefeed

PACKAGE = Path(__file__).resolve().parents[1]
ERRORS = [value for value in vars(framefeed).values() if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)]


def test_all_errors_are_of_one_tree_and_pickle() -> None:
    assert len(ERRORS) == 12
    for error in ERRORS:
        assert issubclass(error, framefeed.Error) and error.__doc__
        made = error("it broke", kind="a kind", path="/p", record="r", offset=3)
        again = pickle.loads(pickle.dumps(made))
        assert (type(again), str(again)) == (error, "it broke")
        assert (again.kind, again.path, again.record, again.offset) == ("a kind", "/p", "r", 3)
    assert issubclass(framefeed.InvalidArgumentError, ValueError)
    assert issubclass(framefeed.OutOfMemoryError, MemoryError)


def test_everything_public_is_documented() -> None:
    for name in framefeed.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(framefeed, name)), name


def stubs() -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef, Any]]:
    """What the stubs tell of: the name, the stub, and what there is of that name."""
    compiled = framefeed._framefeed
    for node in ast.parse((PACKAGE / "framefeed" / "_framefeed.pyi").read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name, node, getattr(compiled, node.name)
        for member in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(member, ast.FunctionDef):
                value = inspect.getattr_static(getattr(compiled, node.name), member.name, None)
                yield f"{node.name}.{member.name}", member, value


def test_help_has_the_text_of_the_stubs() -> None:
    """After a change of the stubs' text, scripts/docstrings.py copies it."""
    compared = 0
    for name, node, value in stubs():
        text = ast.get_docstring(node)
        if name.split(".")[-1].startswith("_") and (text is None or isinstance(value, types.WrapperDescriptorType)):
            continue  # what the interpreter calls has a text of the interpreter's
        assert text, f"{name} has no docstring in the stubs"
        assert inspect.getdoc(value) == text, name
        compared += 1
    assert compared > 80


def test_signatures_have_the_defaults_of_the_stubs_and_each_is_a_value() -> None:
    compared = 0
    for name, node, value in stubs():
        if isinstance(node, ast.ClassDef) or name.split(".")[-1] != "__new__" and name.split(".")[-1].startswith("_"):
            continue
        if any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list):
            continue
        owner = name.removesuffix(".__new__")
        found = inspect.signature(getattr(framefeed, owner) if owner != name else value).parameters
        given = node.args.posonlyargs + node.args.args
        defaults = dict(zip(reversed([a.arg for a in given]), reversed(node.args.defaults), strict=False))
        defaults |= {a.arg: d for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d}
        for parameter, default in defaults.items():
            expected = eval(ast.unparse(default))
            assert expected is not ... and found[parameter].default == expected, f"{name}: {parameter}"
            compared += 1
    assert compared > 60


def test_classes_are_final_and_frozen(dataset: framefeed.Dataset) -> None:
    for value in (dataset, dataset[0], framefeed.Window(frames=1)):
        with pytest.raises(AttributeError):
            value.key = 1  # type: ignore[attr-defined, union-attr]
        with pytest.raises(TypeError):
            type("Derived", (type(value),), {})


def test_the_stubs_agree_with_the_module() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", "framefeed._framefeed", "--mypy-config-file", "pyproject.toml"]
    run = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_package_passes_mypy_strict() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "framefeed"]
    run = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("step", ["torch", "numpy"])
def test_the_demo_trains_and_draws(path: Path, tmp_path: Path, step: str) -> None:
    from PIL import Image

    sheet = tmp_path / "sheet.png"
    if step == "torch":
        pytest.importorskip("torch")
    # A module that can't be imported stands for a machine without torch.
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path) if step == "numpy" else ""}
    command = [sys.executable, str(PACKAGE / "examples" / "demo.py"), str(path), "--contact-sheet", str(sheet)]
    run = subprocess.run(
        [*command, "--size", "64", "--frames", "8", "--epochs", "8"], capture_output=True, text=True, env=environment, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert ("NumPy" if step == "numpy" else "torch, a 3-D") in run.stdout
    losses = re.findall(r"loss ([0-9.]+) -> ([0-9.]+)", run.stdout)
    assert len(losses) == 8 and float(losses[-1][1]) < 0.8 * float(losses[0][0])
    for words in ("bytes read ", "frames decoded ", "tensors delivered ", "read amplification", "limited by"):
        assert words in run.stdout
    with Image.open(sheet) as picture:
        assert picture.width > 300 and picture.height > 200
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50


@pytest.mark.skipif("FRAMEFEED_TEST_WHEEL" not in os.environ, reason="FRAMEFEED_TEST_WHEEL is not set: a wheel takes minutes to build")
def test_the_wheel_is_for_the_stable_abi_and_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "maturin", "build", "--out", str(tmp_path)]
    subprocess.run(command, cwd=PACKAGE, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "cp310-abi3" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in ("__init__.py", "_errors.py", "_options.py", "torch.py", "_framefeed.pyi", "py.typed", "_framefeed.abi3.so"):
        assert f"framefeed/{file}" in names

"""Every public name says what it takes, gives and raises, and shows it: pytest runs the examples as doctests."""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest

PACKAGES = [
    "analysis",
    "api",
    "benchmark",
    "config",
    "data",
    "equivariance",
    "functional",
    "lowering",
    "models",
    "nn",
    "presets",
    "report",
    "runs",
    "training",
]


def public() -> list[tuple[str, Any]]:
    """Public functions and classes by full name: those a package exports, or a module defines without an underscore."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(f"jaxcnn.{package}")
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            thing = getattr(module, name)
            if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__.startswith("jaxcnn"):
                found[f"{package}.{name}"] = thing
    return sorted(found.items())


PUBLIC = public()


def faults(name: str, thing: Any) -> list[str]:
    """What a docstring lacks of: a line that ends in a full stop, Args, Returns, Raises, Example."""
    doc = inspect.getdoc(thing) or ""
    missing = [] if doc.split("\n")[0].endswith((".", ":", "?")) else ["a first line that is a sentence"]
    if inspect.isclass(thing):
        needs = {"Example": True}
    else:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))
        function = tree.body[0]
        assert isinstance(function, ast.FunctionDef)
        taken = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        taken += [a.arg for a in (function.args.vararg, function.args.kwarg) if a]
        gives = function.returns is None or ast.unparse(function.returns) != "None"
        raises = any(isinstance(node, ast.Raise) for node in ast.walk(function))
        needs = {"Args": bool(taken), "Returns": gives, "Raises": raises, "Example": True}
        missing += [f"argument {a}" for a in taken if a != "self" and f"{a}: " not in doc]
    for section, needed in needs.items():
        if needed and not any(f"\n{form}:" in f"\n{doc}" for form in (section, f"{section}s")):
            missing.append(section)
    if "Example" not in missing and ">>>" not in doc:
        missing.append("an example that runs")
    return missing


@pytest.mark.parametrize(("name", "thing"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_docstring_is_whole(name: str, thing: Any) -> None:
    assert faults(name, thing) == []


def test_there_is_something_to_read() -> None:
    assert len(PUBLIC) > 60


def test_a_poor_docstring_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = 'def f(x):\n    """Do it."""\n    if x:\n        raise ValueError\n    return 1\n'
    (tmp_path / "poorly_documented.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    poor = importlib.import_module("poorly_documented")
    assert faults("f", poor.f) == ["argument x", "Args", "Returns", "Raises", "Example"]

"""The house as DESIGN lays it out: who imports whom, how long a file is, what stands where."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxcnn"
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# What each package may import of ours; `jaxcnn.config`, which imports nothing but the standard library, is open to all.
MAY_IMPORT = {
    "functional": set(),
    "lowering": {"functional"},  # whose primitives it has kernels for
    "analysis": {"functional.window"},
    "equivariance": {"analysis", "functional"},
    "nn": {"functional"},
    "models": {"functional", "nn"},
    "data": set(),
    "training": {"functional", "nn", "data"},
    "runs": {"nn", "data", "training"},
    "explain": {"analysis", "equivariance"},  # which take a function's layers apart
    "report": {"analysis", "equivariance", "explain", "functional"},  # never of a run: it is given what it draws
    "presets": set(),
    "space": set(),
    "benchmark": {"analysis", "functional", "lowering", "nn", "runs", "training"},
    "interop": {"lowering"},  # which must be off in what is exported
    "api": {"data", "equivariance", "explain", "functional", "interop", "models", "nn", "runs", "space", "training"},
    "cli": {
        "analysis", "api", "benchmark", "data", "equivariance", "explain", "functional", "interop", "lowering",
        "models", "nn", "presets", "report", "runs", "space", "training",
    },
}  # fmt: skip
# Libraries that only these packages may import.
ONLY_IN = {
    "flax": {"nn", "models", "training", "interop", "benchmark"},  # whose `nnx.jit` is measured
    "orbax": {"runs"},
    "tensorboardX": {"runs"},
    "tensorflow_datasets": {"data"},
    "grain": {"data"},
    "tyro": {"cli"},
    "rich": {"cli"},
}
PURE = {"jax", "numpy", "jaxtyping"}  # all that `functional` builds on


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def violations(path: Path, names: list[str]) -> list[str]:
    """Those imports of a file that the rules forbid."""
    package, found = package_of(path), []
    for name in names:
        top, _, rest = name.partition(".")
        if top == "jaxcnn":
            allowed = MAY_IMPORT.get(package, set()) | {package, "config", "__version__"}
            if not any(rest == other or rest.startswith(f"{other}.") for other in allowed):
                found.append(name)
        elif package not in ONLY_IN.get(top, {package}) or (
            package == "functional" and top not in PURE | sys.stdlib_module_names
        ):
            found.append(name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_the_rules(path: Path) -> None:
    if path != PACKAGE / "__init__.py":
        assert violations(path, imports(path)) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("functional/conv.py", "flax.nnx"), ("functional/conv.py", "scipy"), ("nn/conv.py", "jaxcnn.models.create"),
        ("training/loop.py", "jaxcnn.models"), ("analysis/summary.py", "jaxcnn.functional.conv.conv"),
        ("data/load.py", "flax"), ("api.py", "jaxcnn.cli"), ("training/state.py", "orbax.checkpoint"),
    ],
)  # fmt: skip
def test_a_forbidden_import_is_found(path: str, name: str) -> None:
    assert violations(PACKAGE / path, [name]) == [name]


@pytest.mark.parametrize(
    "path", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_file_is_one_concept(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
    assert path.stem not in {"utils", "util", "helpers", "common", "misc", "manager"}


def test_only_the_command_turns_the_lowering_on() -> None:
    callers = {package_of(path) for path in FILES if "lowering.enable(" in path.read_text()}
    assert callers <= {"cli", "benchmark", "lowering"}


def test_nothing_new_stands_at_the_top_level() -> None:
    known = {"README.md", "LICENSE", "pyproject.toml", "jaxcnn", "experiments", "tests", "checkpoints", "build", "dist"}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    assert {name.split("/")[0] for name in tracked if name and not name.startswith(".")} <= known


def test_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_importing_jaxcnn_imports_no_jax() -> None:
    code = "import sys, jaxcnn, jaxcnn.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

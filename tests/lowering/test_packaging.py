"""How the kernels are built: what CMake and pyproject.toml name twice must agree."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "jaxcnn/lowering/native"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD, RUN = (
    {requirement.name: requirement for requirement in map(Requirement, lines)}
    for lines in (PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"])
)


def test_cmake_names_every_source():
    named = re.search(r"set\(SOURCES(.*?)\)", (NATIVE / "CMakeLists.txt").read_text(), re.DOTALL)
    assert named
    assert sorted(named[1].split()) == sorted(path.name for path in NATIVE.glob("*.cc"))


def test_the_kernels_run_on_the_onednn_they_were_built_with():
    versions = {BUILD[name].specifier for name in ("onednn-devel-cpu-gomp", "onednn-cpu-gomp")}
    assert versions == {RUN["onednn-cpu-gomp"].specifier}


def test_the_kernels_are_built_with_the_headers_of_the_oldest_jax():
    [oldest] = [bound.version for bound in RUN["jax"].specifier if bound.operator == ">="]
    assert [bound.version for bound in BUILD["jaxlib"].specifier] == [f"{oldest}.0"]


def test_only_linux_on_x86_64_needs_what_the_kernels_need():
    for name, requirement in [*BUILD.items(), *RUN.items()]:
        if name == "jaxlib" or name.startswith("onednn"):
            assert requirement.marker
            for platform, machine in [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64")]:
                needed = requirement.marker.evaluate({"sys_platform": platform, "platform_machine": machine})
                assert needed == ((platform, machine) == ("linux", "x86_64"))

"""Copy what the kernels are built with out of the installed packages: `python dependencies.py FOLDER` (CMake runs it).

FOLDER gets include/ (XLA's FFI and oneDNN) and lib/ (oneDNN). Where a package is gone, a complete FOLDER is left as it
is: a build goes on after pip has deleted the environment that it made for it.
"""

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGES = ("jaxlib", "onednn-devel-cpu-gomp", "onednn-cpu-gomp")
WANTED = re.compile(r".*/(include/.+\.hp{0,2}|lib/libdnnl\.so\.3)")


def copy(folder: Path) -> None:
    complete = folder / "versions.txt"
    try:
        packages = [distribution(package) for package in PACKAGES]
    except PackageNotFoundError as missing:
        if complete.is_file():
            return
        sys.exit(f"{missing.name} is not installed, so the kernels cannot be built")
    versions = "\n".join(f"{package.name} {package.version}" for package in packages)
    if complete.is_file() and complete.read_text() == versions:
        return
    shutil.rmtree(folder, ignore_errors=True)
    for package in packages:
        for file in package.files or ():
            source = os.path.normpath(file.locate())
            if found := WANTED.fullmatch(source):
                target = folder / found[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    complete.write_text(versions)


if __name__ == "__main__":
    copy(Path(sys.argv[1]))

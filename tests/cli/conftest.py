import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tyro  # noqa: F401  # before doctests leave a `builtins._` that its import fails on

from jaxcnn import lowering
from jaxcnn.cli import main

SMALL = ("--data.name", "digits", "--model.name", "linear", "--epochs", "2")
"""Flags of `train` that make it a matter of a second."""


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to work in; the lowering and the signals as they were."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) is handler
    lowering.disable()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: exit code, stdout, stderr."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    return SMALL

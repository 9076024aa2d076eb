import logging
from collections.abc import Iterator

import jax
import pytest


class Compilations:
    """Counts XLA compilations since the last reset."""

    def __init__(self, caplog: pytest.LogCaptureFixture):
        self._caplog = caplog

    def reset(self) -> None:
        self._caplog.clear()

    @property
    def names(self) -> list[str]:
        messages = [record.getMessage() for record in self._caplog.records]
        return [message for message in messages if message.startswith("Finished XLA compilation")]


@pytest.fixture
def compilations(caplog: pytest.LogCaptureFixture) -> Iterator[Compilations]:
    with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
        yield Compilations(caplog)

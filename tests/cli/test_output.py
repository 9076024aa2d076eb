import logging
import warnings

import pytest

from jaxcnn.cli.output import quiet


@pytest.mark.parametrize("debug", [False, True])
def test_what_libraries_log_is_heard_only_when_debugging(debug: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio", "orbax")]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.WARNING)
        monkeypatch.setattr(logger, "_cache", {})
    with warnings.catch_warnings():
        quiet(debug=debug)
    assert [logger.isEnabledFor(logging.ERROR) for logger in loggers] == [debug] * 3

"""The switch: which tier is in use, what it says, and what happens where one cannot be had."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jax
import pytest

from jaxcnn import lowering
from jaxcnn.lowering.library import Unavailable, check_version, load
from jaxcnn.lowering.memory import keep_memory


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    lowering.disable()


def test_status_follows_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lowering.status().tier == "xla"
    assert lowering.enable("canonical").tier == lowering.status().tier == "canonical"
    assert lowering.enable().tier == lowering.status().tier != "xla"
    assert lowering.enable("xla").tier == "xla"
    monkeypatch.setenv("JAXCNN_LOWERING", "canonical")
    assert lowering.enable().tier == "canonical"
    assert lowering.disable().tier == "xla"


def test_unknown_tier_suggests() -> None:
    with pytest.raises(ValueError, match="did you mean 'canonical'"):
        lowering.enable("cannonical")


def test_registration_that_fails_leaves_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AttributeError("moved")

    monkeypatch.setattr("jaxcnn.lowering.switch.registered_rule", refuse)
    with pytest.warns(UserWarning, match="refused our rules"):
        assert lowering.enable().tier == "xla"
    assert jax.jit(lambda x: x + 1)(1) == 2


def test_linux_on_x86_has_onednn() -> None:
    """Wherever the tests run on what the wheel is for, a build that failed in silence would show here."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert lowering.enable().tier == "onednn", lowering.status().reason


@pytest.mark.parametrize(
    ("place", "broken", "reason"),
    [
        ("importlib.util.find_spec", lambda name: None, "not installed"),
        ("metadata.files", lambda name: [], "no libdnnl"),
        ("check_version", None, "does not load"),
    ],
)
def test_where_onednn_cannot_be_had_canonical_stands_in(
    place: str, broken: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxcnn.lowering.switch.load", load.__wrapped__)
    monkeypatch.setattr(f"jaxcnn.lowering.library.{place}", broken)
    status = lowering.enable("onednn")
    assert status.tier == "canonical"
    assert reason in status.reason
    assert "\n" not in status.reason


@pytest.mark.parametrize(("major", "minor", "fine"), [(0, 3, True), (0, 1, True), (0, 99, False), (1, 0, False)])
def test_a_library_newer_than_jax_is_refused_before_it_is_registered(major: int, minor: int, fine: bool) -> None:
    if fine:
        check_version(major, minor)
        return
    with pytest.raises(Unavailable, match=f"needs XLA.s foreign function interface {major}.{minor}, this"):
        check_version(major, minor)


def test_enable_starts_no_backend() -> None:
    program = (
        "import jax, jaxcnn.lowering as l; l.enable(); jax.config.update('jax_num_cpu_devices', 2);"
        "assert len(jax.devices()) == 2"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_memory_settings_are_opt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXCNN_MALLOC", "default")
    assert not keep_memory()

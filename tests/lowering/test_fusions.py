"""A jaxlib that is known to compute wrong computes right once the lowering is on."""

import subprocess
import sys

import pytest

from jaxcnn.lowering import fusions

CHECK = """
from jaxcnn import lowering
from jaxcnn.cli.doctor import check_half_precision
lowering.enable()
print(check_half_precision())
"""


@pytest.mark.parametrize(
    ("version", "flags", "after"),
    [
        ("0.9.2", "", ""), ("0.10.2", "", f"{fusions.FLAG}="), ("0.12.0.1", "", f"{fusions.FLAG}="), ("0.13.0", "", ""),
        ("0.11.1", "--xla_a=1", f"--xla_a=1 {fusions.FLAG}="), ("0.12.0", f"{fusions.FLAG}=1", f"{fusions.FLAG}=1"),
    ],
)  # fmt: skip
def test_the_flag_is_set_where_it_is_known(
    version: str, flags: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusions.metadata, "version", lambda _: version)
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert fusions.switch_off_wrong_fusions() == (flags != after)
    assert fusions.os.environ["XLA_FLAGS"] == after


def test_half_precision_is_right_in_a_fresh_process() -> None:
    process = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert process.stdout.strip() == "None", process.stderr

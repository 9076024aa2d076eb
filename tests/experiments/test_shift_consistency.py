"""What the experiment on shifts measures, on functions whose answers are known, and its order, table and figure."""

import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jaxcnn.equivariance import consistency

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("shift_consistency")


def largest(x: Array) -> Array:
    """Invariant to rolls, to the bit."""
    return x.max((1, 2))


def corner(x: Array) -> Array:
    return x[:, 0, 0, :]


IMAGES = jax.random.normal(jax.random.key(3), (5, 4, 6, 3))
LABELS = np.array([0, 1, 2, 0, 1])


def test_logits_are_those_of_the_rolled_image(script: ModuleType) -> None:
    shifts = np.array([(0, 0), (1, 0), (0, 2), (3, 5)])
    found = script.shifted_logits(corner, IMAGES, shifts)
    expected = np.stack([np.asarray(IMAGES)[:, -dy, -dx] for dy, dx in shifts], 1)  # what comes to the corner
    assert np.array_equal(found, expected)


def test_moved_counts(script: ModuleType) -> None:
    logits = np.array([[[4.0, 2.0], [4.0, 2.0], [4.0, 3.0]], [[1.0, -2.0], [-1.0, -2.0], [1.0, 2.0]]])
    assert script.moved(logits) == {
        "largest_relative_difference": 2.0,  # 4 of 2, in the second image
        "changed_predictions": 1,
        "of_predictions": 4,
        "changed_images": 1,
        "of_images": 2,
    }


@pytest.mark.parametrize("network", [largest, corner])
def test_measure_agrees_with_the_library(script: ModuleType, network: Any) -> None:
    found = script.measure(network, IMAGES, LABELS, exhaustive=4, near=3)
    reference = consistency(network, IMAGES[:4], labels=LABELS[:4])
    assert found["circular"]["shifts"] == 4 * 6 - 1
    for name in ("agreement", "pairwise", "stable", "accuracy", "shifted_accuracy", "worst_accuracy"):
        assert found["circular"][name] == pytest.approx(getattr(reference, name), abs=1e-12), name
    changed = found["logits"]["changed_predictions"]
    assert changed == round((1 - reference.agreement) * 4 * 23)
    assert (changed == 0) == (network is largest)
    assert (found["logits"]["largest_relative_difference"] == 0) == (network is largest)
    assert [found[mode]["images"] for mode in ("crops", "half-pixel")] == [3, 3]


def test_every_seed_is_complete_before_the_next(script: ModuleType) -> None:
    order = list(script.cells(2))
    assert len(set(order)) == 12
    assert [seed for *_, seed in order] == [0] * 6 + [1] * 6


def row(script: ModuleType, pool: str, padding: str, seed: int, network: Any) -> dict:
    measured = script.measure(network, IMAGES, LABELS, exhaustive=4, near=3)
    return {
        "pool": pool, "padding": padding, "seed": seed, "settings": dataclasses.asdict(script.Settings()),
        "accuracy": 0.5 + 0.1 * seed, "parameters": 7, "seconds": 1.0, "trained": measured, "untrained": measured,
    }  # fmt: skip


def test_recorded_runs_become_table_and_figure(script: ModuleType, tmp_path: Path) -> None:
    rows = [row(script, "plain", "zeros", seed, corner) for seed in range(2)]
    rows.append(row(script, "polyphase", "circular", 0, largest))
    record = tmp_path / "runs.jsonl"
    record.write_text("".join(json.dumps(one) + "\n" for one in rows))
    settings = script.Settings()
    assert list(script.recorded(record, settings).values()) == json.loads(json.dumps(rows))
    assert not script.recorded(record, dataclasses.replace(settings, width=4))

    summary = script.summarize(rows, settings)
    assert list(summary["cells"]) == ["plain, zeros", script.EXACT]
    plain, exact = summary["cells"].values()
    assert plain["accuracy"] == {"mean": 0.55, "interval_95": round(12.7062047 * 0.05, 5), "values": [0.5, 0.6]}
    assert plain["trained"]["logits"]["of_predictions"] == 2 * 4 * 23  # summed over seeds
    assert exact["trained"]["circular"]["agreement"]["mean"] == 1
    assert summary["equivariant_control_keeps_all"] is True
    broken = script.summarize([row(script, "polyphase", "circular", 0, corner)], settings)
    assert broken["equivariant_control_keeps_all"] is False
    assert script.summarize(rows[:2], settings)["equivariant_control_keeps_all"] is None
    lines = script.table(summary).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "55.00 ± 63.53" in lines[2]
    script.draw(json.loads(json.dumps(summary)), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert jnp.isfinite(plain["trained"]["logits"]["rounding"])

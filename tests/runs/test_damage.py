"""Bytes of a checkpoint are flipped and files are lost: nothing damaged is ever loaded."""

import gc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from references import damage
from references.campaigns import record

from jaxcnn.runs import Run, manifest

SEED = 20261122


def count(run: Run, damages: Iterable[damage.Damage]) -> tuple[Counter[str], list[str]]:
    """Damage the newest of two checkpoints in one way after the other.

    Returns:
        What came of it, by kind of damage, and what must not have come.
    """
    newest, expected = run.path / "steps" / "4", damage.bits(damage.make_state(4))
    counts, wrong = Counter(), []
    target = damage.make_state(0)
    for one in damages:
        with damage.done(newest, one):
            try:
                came = "harmless" if damage.bits(run.restore(4, target)) == expected else "loaded"
            except ValueError as error:
                told = str(error).startswith(f"checkpoint {newest} is damaged: ") and "\n" not in str(error)
                came = "detected" if told else "badly told"
            step, progress, notes = run.resume(damage.CONFIG, damage.FACTS)
            if came == "detected":
                fits = (step, progress.epoch) == (2, 1) and len(notes) == 1 and "goes on from step 2" in notes[0]
                came = "detected, fell back" if fits else "did not fall back"
        counts[f"{one.kind}: {came}"] += 1
        if came not in ("harmless", "detected, fell back"):
            wrong.append(f"{one.kind} {one.path}: {came}")
    return counts, wrong


def test_no_file_of_a_checkpoint_can_be_lost_or_changed(tmp_path: Path) -> None:
    run = damage.make_run(tmp_path / "run")
    newest = run.path / "steps" / "4"
    sample = [*list(damage.flips(newest, 2, SEED))[::3], *list(damage.losses(newest))[::4]]
    counts, wrong = count(run, sample)
    assert wrong == []
    assert sum(counts.values()) == len(sample) >= 25


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves its tasks behind
def test_what_is_not_checked_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest is what detects: Orbax alone loads flipped bytes."""
    run = damage.make_run(tmp_path / "run")
    newest = run.path / "steps" / "4"
    data = {file.name for file in (newest / "arrays" / "network" / "ocdbt.process_0" / "d").iterdir()}
    monkeypatch.setattr(manifest, "damage", lambda *_, **__: None)
    _, wrong = count(run, [flip for flip in damage.flips(newest, 12, SEED) if Path(flip.path).name in data])
    assert any("loaded" in came for came in wrong)
    gc.collect()  # here, where their warnings are expected


@pytest.mark.campaign
def test_every_file_of_a_checkpoint(tmp_path: Path) -> None:
    run = damage.make_run(tmp_path / "run")
    newest = run.path / "steps" / "4"
    cases = [*damage.flips(newest, 25, SEED), *damage.losses(newest)]
    counts, wrong = count(run, cases)
    command = "pytest -m campaign -n0 tests/runs/test_damage.py"
    facts = {"files": damage.files(newest), "cases": len(cases), "counts": dict(sorted(counts.items())), "wrong": wrong}
    record("checkpoint_damage", command, seed=SEED, **facts)
    assert wrong == []
    assert sum(one.kind == "flipped" for one in cases) >= 200

"""A run goes on from the newest checkpoint that is whole, and says what is not."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from references import damage

from jaxcnn.runs import Run
from jaxcnn.training import Progress


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs of two steps, each better than the one before: checkpoints at the steps 6 and 8 are kept."""
    return damage.make_run(tmp_path_factory.mktemp("made") / "run", epochs=4).path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made, tmp_path / "run"))


def spoil(run: Run, step: int) -> None:
    (run.path / "steps" / str(step) / "config.json").write_text("{}")


def names(run: Run) -> set[str]:
    return {entry.name for entry in (run.path / "steps").iterdir()}


def test_the_newest_whole_checkpoint_is_taken_and_the_metrics_are_its_own(run: Run) -> None:
    assert names(run) == {"6", "8"}
    expected = run.path.joinpath("metrics.jsonl").read_bytes().splitlines(keepends=True)[:3]
    spoil(run, 8)
    step, progress, notes = run.resume(damage.CONFIG, damage.FACTS)
    assert (step, progress) == (6, Progress(3, 0.3, 3, 0.3))
    (note,) = notes
    assert note.startswith(f"checkpoint {run.path}/steps/8 is damaged: config.json has 2 bytes, ")
    assert note.endswith("; the run goes on from step 6")
    assert run.path.joinpath("metrics.jsonl").read_bytes() == b"".join(expected)
    assert [row["epoch"] for row in run.times()] == [1, 2, 3]
    assert names(run) == {"6", "8"}


def test_a_damaged_checkpoint_is_kept_when_its_step_comes_again(run: Run) -> None:
    spoil(run, 8)
    run.resume(damage.CONFIG, damage.FACTS)
    run.record({"epoch": 4, "step": 8})
    run.save(damage.make_state(8), Progress(4, 0.4, 4, 0.4)).result()
    assert names(run) == {"6", "8", "8.damaged"}
    assert (run.path / "steps" / "8.damaged" / "config.json").read_text() == "{}"
    assert run.latest_step() == 8
    assert damage.bits(run.restore(8, damage.make_state(0))) == damage.bits(damage.make_state(8))


def test_the_best_that_is_damaged_is_told_with_its_stand_in(run: Run) -> None:
    spoil(run, 8)
    with pytest.warns(UserWarning, match=r"steps/8 is damaged: .* were written; step 6 \(epoch 3\) is taken instead$"):
        assert run.chosen_step() == 6


def test_the_best_that_is_gone_is_told(run: Run) -> None:
    progress = Progress(5, 0.4, 4, 0.1)
    run.save(damage.make_state(10), progress).result()
    shutil.rmtree(run.path / "steps" / "8")
    with pytest.warns(UserWarning, match=r"the checkpoint of epoch 4, the best, is missing .*; step 10 \(epoch 5\)"):
        assert run.chosen_step() == 10


def test_the_last_that_is_damaged_is_told(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "last", dataclasses.replace(damage.CONFIG, select="last"), damage.FACTS)
    for epoch in (1, 2):
        run.save(damage.make_state(2 * epoch), Progress(epoch, 0.5, 1, 0.5 / epoch)).result()
    spoil(run, 4)
    with pytest.warns(UserWarning, match=r"steps/4 is damaged: .*; step 2 \(epoch 1\) is taken instead"):
        assert run.chosen_step() == 2


def test_where_none_is_whole_the_run_begins_anew_and_nothing_is_lost(run: Run) -> None:
    before = (run.path / "metrics.jsonl").read_bytes()
    spoil(run, 6)
    spoil(run, 8)
    with pytest.raises(ValueError, match=r"steps/8 is damaged"):
        run.chosen_step()
    with pytest.raises(ValueError, match="another config: `seed`"):
        run.resume(dataclasses.replace(damage.CONFIG, seed=9), damage.FACTS)
    step, progress, notes = run.resume(damage.CONFIG, damage.FACTS)
    assert (step, progress, len(notes)) == (None, Progress(), 2)
    assert all(note.endswith("; the run begins anew") for note in notes)
    assert run.metrics() == []
    assert (run.path / "metrics.jsonl.damaged").read_bytes() == before
    assert names(run) == {"6", "8"}
    run.finish({"accuracy": 0.5})
    with pytest.raises(ValueError, match=r"has ended .* but its checkpoints are gone or damaged: give"):
        run.resume(damage.CONFIG, damage.FACTS)


def test_what_a_killed_process_left_goes_and_nothing_else(run: Run) -> None:
    folder = run.path / "steps"
    shutil.copytree(folder / "8", folder / ".10.writing")  # whole, but for its name
    (folder / ".6.deleting").mkdir()
    (folder / ".8.before").mkdir()
    (folder / ".12.writing").symlink_to(run.path)
    strangers = ("notes", ".hidden", "9", "010", ".x.writing", "7.orbax-checkpoint-tmp", "²")
    for name in strangers:
        (folder / name).mkdir()
        (folder / name / "file").write_text("mine")
    (folder / ".12.writing").unlink()
    step, _, (note,) = run.resume(damage.CONFIG, damage.FACTS)
    assert step == 8
    assert note == f"checkpoint {folder}/9 is damaged: it has no manifest.json; the run goes on from step 8"
    assert names(run) == {"6", "8", *strangers}
    assert all((folder / name / "file").read_text() == "mine" for name in strangers)


def test_a_replacement_that_was_killed_between_its_renames_is_undone(run: Run) -> None:
    folder = run.path / "steps"
    (folder / "8").rename(folder / ".8.before")
    assert run.resume(damage.CONFIG, damage.FACTS).step == 8
    assert names(run) == {"6", "8"}


def test_resuming_twice_changes_nothing_but_the_record_of_it(run: Run) -> None:
    def content() -> dict[str, bytes]:
        return {name: (run.path / name).read_bytes() for name in damage.files(run.path) if name != "environment.json"}

    run.resume(damage.CONFIG, damage.FACTS)
    before = content()
    run.resume(damage.CONFIG, damage.FACTS)
    assert content() == before


@pytest.mark.parametrize("text", ["", '{"epoch": 1}\n', "\x00\x00", '{"epoch": 1}\n[]\n', "é" * 10])
def test_metrics_that_were_changed_are_restored(run: Run, text: str) -> None:
    before = (run.path / "metrics.jsonl").read_bytes()
    (run.path / "metrics.jsonl").write_text(text)
    (run.path / "timings.jsonl").write_text(text)
    assert run.resume(damage.CONFIG, damage.FACTS).step == 8
    assert (run.path / "metrics.jsonl").read_bytes() == before
    run.times()

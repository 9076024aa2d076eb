"""The probes of `jaxcnn doctor --deep`: that they see what they look for, planted where this machine has it not."""

import json

import pytest

from jaxcnn.cli import health


def test_every_probe_runs_and_finds_no_problem(command) -> None:
    code, out, _ = command("doctor", "--deep", "--json")
    found = {finding["name"]: finding["state"] for finding in json.loads(out)["deep"]}
    assert code == 0
    assert set(found) == {"compilation cache", "lowering", "loop", "jax#39103", "jax#39257"}
    assert "problem" not in found.values()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("print('one'); print('last')", "last"),
        ("raise SystemExit('broken')", "broken"),
        ("raise SystemExit(3)", "ended with 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes (SIGSEGV)"),
    ],
)
def test_how_a_process_ends(program: str, told: str) -> None:
    assert health._run(program) == told


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SECONDS", 0.2)
    assert health._run("import time; time.sleep(60)") == "hangs: no end after 0.2 s"


@pytest.mark.parametrize(
    ("plain", "guarded", "state"),
    [
        ("right", "", "ok"),
        ("wrong", "right", "mended"),
        ("wrong", "wrong", "problem"),
        ("crashes", "crashes", "problem"),
    ],
)
def test_a_fault_is_mended_where_only_the_guarded_process_is_right(
    monkeypatch: pytest.MonkeyPatch, plain: str, guarded: str, state: str
) -> None:
    monkeypatch.setattr(health, "_run", lambda program, settings: guarded if "switch_off" in program else plain)
    assert health._fault("jax#1", "a sum", "print()").state == state


@pytest.mark.parametrize(
    ("probe", "told", "state"),
    [
        (health._cache, "3", "ok"),
        (health._cache, "0", "known"),
        (health._cache, "ImportError: no jax", "problem"),
        (health._tier, "onednn True", "ok"),
        (health._tier, "canonical False", "ok"),
        (health._tier, "onednn False", "problem"),
        (health._tier, "canonical True", "problem"),
        (health._tier, "crashes (SIGSEGV)", "problem"),
        (health._loop, "0", "ok"),
        (health._loop, "1 layout f01b", "problem"),
    ],
)
def test_what_a_process_tells_is_judged(monkeypatch: pytest.MonkeyPatch, probe, told: str, state: str) -> None:
    monkeypatch.setattr(health, "_run", lambda *_: told)
    assert probe().state == state


def test_a_problem_ends_the_command_with_1(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "probe", lambda: iter([health.Finding("loop", "problem", "1 layout f01b")]))
    code, out, _ = command("doctor", "--deep")
    assert code == 1
    assert "loop: problem: 1 layout f01b" in out

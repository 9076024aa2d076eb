"""A child process that trains nothing, and writes a run until the disk takes no more: `python full_disk.py RUN HOW`.

HOW is `small` (no file may have more than 4,096 bytes, as a quota has it), `full` (the file system is small), or
`read-only` (at the second epoch it becomes so, with mount) or `denied` (at the second epoch, by the folder's mode and
without root's rights). It prints one line of JSON: what was raised, and what is left.
"""

import json
import os
import resource
import signal
import subprocess
import sys

from jaxcnn.runs import Run
from jaxcnn.training import Progress
from references import damage


def hinder(run: Run, how: str) -> None:
    if how == "small":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    elif how == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(run.path.parent)], check=True)
    elif how == "denied":
        for path in (run.path / "steps", run.path):
            path.chmod(0o500)
        if os.geteuid() == 0:
            for path in (run.path, *run.path.rglob("*")):
                os.chown(path, 65534, 65534)
            os.setegid(65534)
            os.seteuid(65534)


def main(path: str, how: str) -> None:
    run, raised, epoch = Run.create(path, damage.CONFIG, damage.FACTS), None, 0
    while raised is None and epoch < 5:
        epoch += 1
        if epoch == 2:
            hinder(run, how)
        try:
            state = damage.make_state(2 * epoch, size=1 if epoch == 1 else 64 if how == "small" else 8192)
            run.save(state, Progress(epoch, epoch / 1000, epoch, epoch / 1000)).result()
        except Exception as error:
            raised = error
    try:
        run.record({"epoch": epoch, "text": "x" * 2_000_000})
        recorded = "nothing"
    except Exception as error:
        recorded = str(error)
    left = sorted(entry.name for entry in (run.path / "steps").iterdir())
    facts = {"raised": f"{type(raised).__name__}: {raised}", "recorded": recorded, "left": left, "epoch": epoch}
    print(json.dumps({**facts, "latest": run.latest_step(), "metrics": len(run.metrics())}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

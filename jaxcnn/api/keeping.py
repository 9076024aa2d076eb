"""When the checkpoints of members are written: seldom enough that training is what takes the time."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jaxcnn.runs import Run, Saving
from jaxcnn.runs.steps import Mode
from jaxcnn.training import Progress, TrainState

SHARE = 0.1
"""Of the wall time, that writing may take, but for each member's first checkpoint and its last."""


class Kept(NamedTuple):
    """A member's state at the end of an epoch.

    Example:
        >>> import jax, optax
        >>> from jaxcnn import training
        >>> state = training.create_state({}, {}, optax.sgd(0.1), jax.random.key(0))
        >>> Kept(Progress(epoch=3), state).progress.epoch
        3
    """

    progress: Progress
    state: TrainState


class Keeper:
    """Holds the best states of members in memory until they are written with the newest ones.

    A checkpoint of a small network takes longer to write than an epoch to train. All members are written after the
    first epoch, then whenever writing would take no more than a tenth of the time, and each at its end. What a killed
    process loses is what it trained since.

    Args:
        runs: The members' runs.
        mode: Whether the largest or the smallest value is the best.

    Example:
        >>> keeper = Keeper([], mode="max")
        >>> keeper.is_due()
        True
    """

    def __init__(self, runs: Sequence[Run], *, mode: Mode):
        self._runs = runs
        self._mode: Mode = mode
        configs = [run.config for run in runs]
        self._most = [max(config.keep_best, 1 if config.select == "best" else 0) for config in configs]
        self._best: list[list[Kept]] = [[] for _ in runs]
        self._written = self._took = 0.0

    def note(self, member: int, progress: Progress, state: Callable[[], TrainState]) -> None:
        """Hold a member's state if it is among the best since the last writing that its config keeps.

        Args:
            member: Which.
            progress: How far it has come.
            state: Makes the state, whose memory is not to be given away.
        """
        most = self._most[member]
        if most == 0 or (most == 1 and progress.best_epoch != progress.epoch):
            return
        best, sign = self._best[member], 1 if self._mode == "min" else -1

        def rank(of: Progress) -> tuple[float, int]:
            return sign * float(of.value or 0.0), of.epoch

        if len(best) < most or rank(progress) < rank(best[-1].progress):
            best.append(Kept(progress, state()))
            best.sort(key=lambda kept: rank(kept.progress))
            del best[most:]

    def is_due(self) -> bool:
        """Tell whether writing all members now takes no more than its share of the time, or none was written yet."""
        return time.perf_counter() - self._written >= self._took * (1 / SHARE - 1)

    def write(self, newest: Mapping[int, Kept], *, all_members: bool) -> None:
        """Write the best and the newest state of members, and wait until they are on disk.

        Args:
            newest: By member.
            all_members: Whether these are all that there is to write, and not some that end before the others.

        Raises:
            RunWriteError: One cannot be written.
        """
        began = time.perf_counter()
        queues = []
        for member, kept in newest.items():
            earlier = [one for one in self._best[member] if one.progress.epoch < kept.progress.epoch]
            queues.append((member, [*sorted(earlier, key=lambda one: one.progress.epoch), kept]))
            self._best[member].clear()
        while queues:  # of each the oldest, side by side: what goes is decided by those that are there
            savings = [self._save(member, states.pop(0)) for member, states in queues]
            for saving in savings:
                saving.result()
            queues = [(member, states) for member, states in queues if states]
        if all_members:
            self._written = time.perf_counter()
            self._took = self._written - began

    def write_best(self, member: int) -> None:
        """Write the best states of a member whose newest one is no use."""
        if best := sorted(self._best[member], key=lambda one: one.progress.epoch):
            self._best[member] = best[:-1]
            self.write({member: best[-1]}, all_members=False)

    def _save(self, member: int, kept: Kept) -> Saving:
        return self._runs[member].save(kept.state, kept.progress, mode=self._mode)

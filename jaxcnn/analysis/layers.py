"""Which equations make a layer: those of one scope, cut where one operation ends and the next begins."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence

from jaxcnn.analysis.equations import Equation, Value
from jaxcnn.analysis.operations import BORDERS, HEAVY, LINEAR, PLUMBING, flattens, full_name, operation


@dataclasses.dataclass
class Group:
    """The equations of one layer.

    Example:
        >>> Group("conv1", "conv").equations
        []
    """

    name: str
    """Of its scope or its parameters; set apart from others by `name_groups`."""
    op: str
    equations: list[Equation] = dataclasses.field(default_factory=list)

    @property
    def last(self) -> Equation:
        """The equation that gives its output."""
        return next((e for e in reversed(self.equations) if e.depends), self.equations[-1])


def group(equations: Sequence[Equation], outputs: Sequence[Value], owners: Iterable[str], *, rank: int) -> list[Group]:
    """Sort a program's equations into layers.

    Equations under one name scope that follow each other are a layer, if they hold one operation, or the scope is
    named as parameters are; a scope that owns parameters takes in the scopes inside it that own none. Otherwise every
    convolution, product, pool, norm, activation, sum of branches and flattening is a layer of its own. What computes
    with parameters alone goes to the layer that uses it.

    Args:
        equations: Of `flatten`.
        outputs: Of the program.
        owners: Paths of the parameters, without their own names: `stage1/block0/conv1`.
        rank: Number of spatial axes.

    Returns:
        Groups in the order in which they end, without names where there are no scopes.

    Example:
        >>> import jax
        >>> from jaxcnn.analysis.equations import flatten
        >>> closed = jax.make_jaxpr(lambda w, x: jax.nn.relu(w @ x) + 1)(jax.numpy.ones((2, 3)), jax.numpy.ones(3))
        >>> equations, _, outputs = flatten(closed)
        >>> [group.op for group in group(equations, outputs, [], rank=0)]
        ['dense', 'relu', 'add']
    """
    owners = set(owners)
    moving = [e for e in equations if e.depends]
    _forget_containers(moving)
    last_use = _last_uses(moving, outputs)
    groups: list[Group] = []
    for scope, first, end in _runs(moving, owners):
        run = moving[first:end]
        if scope in owners and scope and sum(e.primitive in HEAVY for e in run) <= 1:
            groups.append(Group(scope, full_name(operation(run), run, rank), run))
        else:
            groups += [Group(scope, op, part) for op, part in _layers(run, first, last_use, rank)]
    groups = _joined(groups)
    _attach(groups, [e for e in equations if not e.depends])
    return groups


def name_groups(groups: Sequence[Group], parameters: Callable[[Group], str]) -> list[str]:
    """Give every layer a name of its own.

    Args:
        groups: Of `group`.
        parameters: The path of a layer's own parameters, or "".

    Returns:
        One name a group: its scope's, if no other has it; its parameters' path, where the scope does not end with it;
        else its scope and operation, numbered where that repeats.

    Example:
        >>> relu, dense = Group("", "relu"), Group("", "dense")
        >>> name_groups([relu, dense, relu, Group("head", "dense")], lambda group: "")
        ['relu1', 'dense1', 'relu2', 'head']
    """
    scopes = [_instances(g.name) for g in groups]
    wanted = []
    for g, scope in zip(groups, scopes, strict=True):
        path = parameters(g)
        if path and not inside(scope[::-1], path[::-1]):
            wanted.append((path, False))
        elif scope and scopes.count(scope) == 1:
            wanted.append((scope, False))
        else:
            slug = re.sub(r"\W+", "_", g.op).strip("_") or "layer"
            wanted.append((f"{scope}/{slug}" if scope else slug, True))
    plain = [name for name, _ in wanted]
    names: list[str] = []
    for name, numbered in wanted:
        repeated = plain.count(name) > 1 or (numbered and "/" not in name)
        number = sum(other == name for other in plain[: len(names)]) + 1
        names.append(f"{name}{number}" if numbered and repeated else f"{name}#{number}" if number > 1 else name)
    return names


def _untransformed(scope: str) -> str:
    """Leave vmap's marks out of a scope: `vmap(stage1)/conv1` is `stage1/conv1`."""
    while (plain := re.sub(r"\bvmap\(([^()]*)\)", r"\1", scope)) != scope:
        scope = plain
    return scope.strip("/")


def _instances(scope: str) -> str:
    """Leave classes out of a scope, as Equinox has them: `eqx.nn.Conv`."""
    return "/".join(part for part in scope.split("/") if "." not in part)


def inside(stack: str, owner: str) -> bool:
    """Tell whether a name stack is a scope, or inside it.

    Args:
        stack: Name stack, `stage1/block0/conv1`.
        owner: A scope.

    Returns:
        Whether it is.

    Example:
        >>> inside("stage1/block0", "stage1"), inside("stage10", "stage1")
        (True, False)
    """
    return stack == owner or (owner != "" and stack.startswith(owner + "/"))


def _forget_containers(moving: Sequence[Equation]) -> None:
    """Leave out of all equations the calls that hold a heavy operation, or everything: they name no layer."""
    holding = {call for e in moving if e.primitive in HEAVY for call in e.calls}
    holding |= set(moving[0].calls).intersection(*(e.calls for e in moving)) if len(moving) > 1 else set()
    for equation in moving:
        equation.calls = tuple(call for call in equation.calls if call not in holding)


def _runs(moving: Sequence[Equation], owners: set[str]) -> list[tuple[str, int, int]]:
    """Cut equations where the scope changes."""
    runs: list[tuple[str, int, int]] = []
    for i, equation in enumerate(moving):
        stack = _untransformed(equation.scope)
        scope = max((o for o in owners if inside(stack, o)), key=len, default="") or stack
        if runs and runs[-1][0] == scope:
            runs[-1] = (scope, runs[-1][1], i + 1)
        else:
            runs.append((scope, i, i + 1))
    return runs


def _last_uses(moving: Sequence[Equation], outputs: Sequence[Value]) -> dict[int, int]:
    """Return where each value is last used."""
    uses = {id(value): i for i, equation in enumerate(moving) for value in equation.inputs}
    uses.update((id(value), len(moving)) for value in outputs)
    return uses


def _layers(run: list[Equation], first: int, last_use: dict[int, int], rank: int) -> list[tuple[str, list[Equation]]]:
    """Cut the equations of one scope into operations."""
    layers: list[tuple[str, list[Equation]]] = []
    waiting: list[Equation] = []  # what goes with the next one
    for atom in _atoms(run, first, last_use):
        op = operation(atom)
        primitives = {e.primitive for e in atom}
        previous = layers[-1] if layers else None
        if primitives <= PLUMBING and op != "flatten" and not _merges(atom, run):
            if previous is None or (primitives & BORDERS) or not _goes_on(previous[1], atom):
                waiting += atom
            else:
                previous[1].extend(atom)
            continue
        follows = previous is not None and not waiting and _goes_on(previous[1], atom)
        if not follows or previous is None:
            layers.append((op, waiting + atom))
            waiting = []
        elif op == "norm":
            whole = previous[0] in ("center", "sum", "sub")  # its mean, or the subtraction of a stored one
            centred = previous[1] if whole else previous[1][-1:] if previous[1][-1].primitive == "sub" else []
            layers[-1:] = [(previous[0], rest)] if (rest := previous[1][: len(previous[1]) - len(centred)]) else []
            layers.append(("norm", centred + atom))
        elif previous[0] == "exp" and op == "sum":
            before = layers.pop(-2)[1] if len(layers) > 1 and layers[-2][0] in ("max", "center") else []
            layers[-1] = ("softmax", before + previous[1] + atom)
        elif op != "flatten" and previous[0] not in _CLOSED and _is_affine(atom, run):
            previous[1].extend(atom)
        else:
            layers.append((op, atom))
    if waiting and layers:
        layers[-1][1].extend(waiting)
    elif waiting:
        layers.append((operation(waiting), waiting))
    return [(full_name(op, part, rank), part) for op, part in layers]


_CLOSED = {"relu", "gelu", "tanh", "sigmoid", "flatten", "softmax", "max pool", "min pool"}
"""Layers that no scale or bias after them belongs to."""


def _atoms(run: list[Equation], first: int, last_use: dict[int, int]) -> list[list[Equation]]:
    """Cut equations where one value alone goes on, around calls and heavy operations."""
    atoms: list[list[Equation]] = []
    stretch_end = [i for i, e in enumerate(run) if e.primitive in HEAVY]
    for i, equation in enumerate(run):
        call = _call(equation)
        if i == 0 or equation.primitive in HEAVY or run[i - 1].primitive in HEAVY:
            atoms.append([equation])
        elif call or _call(run[i - 1]):
            if call and call == _call(run[i - 1]):
                atoms[-1].append(equation)
            else:
                atoms.append([equation])
        else:
            start = max((j + 1 for j in stretch_end if j < i), default=0)
            stop = min((j for j in stretch_end if j > i), default=len(run)) - 1
            if _live(run, start, i, first, first + stop, last_use) <= 1:
                atoms.append([equation])
            else:
                atoms[-1].append(equation)
    return atoms


def _live(run: list[Equation], start: int, i: int, first: int, stop: int, last_use: dict[int, int]) -> int:
    """Count the values, of those in a stretch, that equations before `i` have given and later ones in it need."""
    given = {id(v) for e in run[start:i] for v in e.outputs}
    taken = {id(v) for v in run[start].inputs if v.depends}
    return sum(first + i <= last_use.get(value, -1) <= stop for value in given | taken)


def _call(equation: Equation) -> tuple[int, str] | None:
    """Return the outermost named call of an equation: relu, softmax, clip."""
    return next((call for call in equation.calls if call[1][:1].isalpha()), None)


def _goes_on(before: Sequence[Equation], atom: Sequence[Equation]) -> bool:
    """Tell whether equations take what others give."""
    given = {id(v) for e in before for v in e.outputs}
    return any(id(v) in given for e in atom for v in e.inputs)


def _is_affine(atom: Sequence[Equation], run: Sequence[Equation]) -> bool:
    """Tell whether equations scale or move one array by constants: a bias."""
    return all(e.primitive in LINEAR | PLUMBING for e in atom) and not _merges(atom, run)


def _merges(atom: Sequence[Equation], run: Sequence[Equation]) -> bool:
    """Tell whether equations bring together two arrays that come from outside them."""
    made = {id(v) for e in atom for v in e.outputs}
    return len({id(v) for e in atom for v in e.inputs if v.depends and id(v) not in made}) > 1


def _joined(groups: list[Group]) -> list[Group]:
    """Join what only adds or drops axes of size 1, or changes types, to the layer before it, or after it."""
    joined: list[Group] = []
    waiting: list[Equation] = []
    for n, g in enumerate(groups):
        beside = groups[max(n - 1, 0) : n] + groups[n + 1 : n + 2]
        own = g.name != "" and not any(inside(other.name, g.name) or inside(g.name, other.name) for other in beside)
        if len(groups) > 1 and not own and all(map(_is_formal, g.equations)):
            goes_on = joined and _goes_on(joined[-1].equations, g.equations)
            (joined[-1].equations if goes_on else waiting).extend(g.equations)
        else:
            joined.append(Group(g.name, g.op, waiting + g.equations))
            waiting = []
    if waiting:
        return (
            [*joined[:-1], Group(joined[-1].name, joined[-1].op, joined[-1].equations + waiting)] if joined else groups
        )
    return joined


def _is_formal(equation: Equation) -> bool:
    """Tell whether an equation only says anew how an array's axes or numbers are written."""
    formal = PLUMBING - {"transpose", "rev", "pad", "concatenate"}
    sizes = [math.prod(shape) for shape in (equation.inputs[0].shape, equation.output.shape)]
    return equation.primitive in formal and sizes[0] == sizes[1] and not flattens(equation)


def _attach(groups: list[Group], still: Sequence[Equation]) -> None:
    """Put equations on parameters alone before the layer that first uses what they give."""
    home: dict[int, Group] = {}
    for g in reversed(groups):
        for equation in g.equations:
            home.update((id(v), g) for v in equation.inputs if not v.depends)
    for equation in reversed(still):
        used = [home[id(v)] for v in equation.outputs if id(v) in home]
        if not used:
            used = [g for g in groups if inside(equation.scope, g.name)] or groups
        if not used:
            groups.append(Group(equation.scope, equation.primitive.replace("_", " "), []))
            used = groups
        used[0].equations.insert(0, equation)
        for v in equation.inputs:
            home.setdefault(id(v), used[0])

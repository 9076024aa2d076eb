"""Find the convolutions of a compiled program that XLA:CPU runs slowly.

XLA:CPU hands a convolution to Eigen where all of this holds, and to YNNPACK inside the fusions that it makes for it:
one to three spatial axes, channels last in the input, the kernel and the output (b01f_01io->b01f), no reversed window,
float16 or float32. Every other convolution becomes one naive loop nest. The pass that rewrites layouts visits the
entry computation only, so that what stands in the body of a loop or a branch of `lax.cond` stays as it is; bfloat16
and complex64 are rewritten to float32 before. (Read in XLA's `ir_emission_utils.cc`, `thunk_emitter.cc` and
`conv_canonicalization.cc`, and timed in jaxlib 0.10.2 and 0.12.0: 30 to 350 times slower for 64 channels of 28x28.)

Three more are slow in any layout: batch groups, which XLA expands into one more spatial axis that is mostly zeros
(100 times and more); feature groups of few channels, which Eigen runs one by one (a depthwise layer 10 times slower
than the naive loop); a kernel larger than its map, which XLA swaps with it, out of the fast layout. The gradient of a
max pool (select-and-scatter) is no convolution, and is not looked for.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
from jax.stages import Compiled, Lowered

FAST_DTYPES = ("f16", "f32")
FEW_CHANNELS = 8  # feature groups with fewer output channels are slower on Eigen than in the naive loop
ENABLE = "call jaxcnn.lowering.enable() before it is compiled"
ONEDNN = "of the lowerings only oneDNN runs it well: see jaxcnn.lowering.status()"


@dataclass(frozen=True)
class Finding:
    """A convolution that XLA:CPU runs slowly; its `str` is one line that says what to do.

    Example:
        >>> shapes = ("f32[8,28,28,64]", "f32[28,28,8,64]", "f32[3,3,64,64]")
        >>> print(Finding("conv.1", "body", True, "layout f01b_i01o->01bf", "use NHWC", "jit(f)/conv1", shapes, 1000))
        conv.1 in a loop [jit(f)/conv1]: layout f01b_i01o->01bf; use NHWC
            (f32[8,28,28,64], f32[28,28,8,64] -> f32[3,3,64,64], 1,000 MACs)
    """

    instruction: str
    """Its name in the optimised HLO."""
    computation: str
    """The HLO computation that it stands in."""
    in_loop: bool
    """Whether that is run by a loop."""
    reason: str
    """Why it is slow."""
    advice: str
    """What to do."""
    op_name: str
    """Where the program asked for it: JAX's stack of names, which holds the layer's."""
    shapes: tuple[str, str, str]
    """Of the input, the kernel and the output."""
    macs: int
    """Multiplications of one execution, those by padded and inserted zeros included."""

    def __str__(self) -> str:
        lhs, rhs, out = self.shapes
        where = f"{self.instruction}{' in a loop' * self.in_loop} [{self.op_name}]"
        return f"{where}: {self.reason}; {self.advice} ({lhs}, {rhs} -> {out}, {self.macs:,} MACs)"


def lint(fn: Callable[..., Any] | Lowered | Compiled, *args: Any, **kwargs: Any) -> tuple[Finding, ...]:
    """Compile a function for the CPU and name every convolution in it that XLA runs slowly.

    Nothing is executed. Convolutions that the oneDNN lowering compiles are calls of its own, and never named.

    Args:
        fn: A function, jitted or not, or what its `lower` or `compile` returned.
        args: Its arguments: arrays, or `jax.ShapeDtypeStruct`s.
        kwargs: More of them.

    Returns:
        One `Finding` for each, the most expensive first.

    Raises:
        TypeError: Arguments beside something that is lowered already.
        ValueError: It was lowered or compiled for another device than a CPU.

    Example:
        >>> import jax
        >>> from jax import lax
        >>> x, kernels = jax.ShapeDtypeStruct((8, 3, 9, 9), "float32"), jax.ShapeDtypeStruct((2, 3, 3, 3, 3), "float32")
        >>> def layers(x, kernels):
        ...     return lax.scan(lambda x, kernel: (lax.conv(x, kernel, (1, 1), "SAME"), None), x, kernels)[0]
        >>> [(finding.reason[:25], finding.in_loop) for finding in lint(layers, x, kernels)]
        [('layout bf01_oi01->bf01, n', True)]
    """
    if isinstance(fn, Lowered | Compiled):
        if args or kwargs:
            raise TypeError(f"`fn` is lowered already ({type(fn).__name__}): it takes no more arguments")
        compiled: Any = fn.compile() if isinstance(fn, Lowered) else fn
    else:
        jitted: Any = fn if hasattr(fn, "lower") else jax.jit(fn)
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            compiled = jitted.lower(*args, **kwargs).compile()
    platform = compiled.runtime_executable().local_devices()[0].platform
    if platform != "cpu":
        raise ValueError(f"`fn` is compiled for a {platform}; the lint knows XLA:CPU alone")
    return findings(compiled.as_text() or "")


def findings(hlo: str) -> tuple[Finding, ...]:
    """Read the text of an optimised HLO module.

    Args:
        hlo: The module, after XLA:CPU's passes.

    Returns:
        One `Finding` for each slow convolution, the most expensive first.

    Example:
        >>> findings("HloModule empty")
        ()
    """
    module = _read(hlo)
    found = [finding for computation in module.values() for finding in _judge(module, computation)]
    return tuple(sorted(found, key=lambda finding: -finding.macs))


@dataclass
class _Instruction:
    name: str
    shape: str
    opcode: str
    operands: list[str]
    text: str

    @property
    def op_name(self) -> str:
        return _attribute(r'op_name="([^"]*)"', self.text)


@dataclass
class _Computation:
    name: str
    instructions: list[_Instruction] = field(default_factory=list)
    caller: tuple["_Computation", _Instruction] | None = None
    in_loop: bool = False


_HEADER = re.compile(r"(?:ENTRY )?%?([^\s(]+) \(.*\) -> .* \{")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?(\S+) = (?:\(.*?\)|(\w+\[[^\]]*\])\S*) ([\w-]+)\((.*)")
_CALLED = re.compile(r"(\w+)=\{?((?:%[\w.-]+(?:, )?)+)")
_NAME = re.compile(r"%([\w.-]+)")


def _read(hlo: str) -> dict[str, _Computation]:
    """Read the computations, callees before their callers, as XLA prints them."""
    module: dict[str, _Computation] = {}
    computation = _Computation("")
    for line in hlo.splitlines():
        if header := _HEADER.fullmatch(line):
            computation = module[header[1]] = _Computation(header[1])
        elif match := _INSTRUCTION.match(line):
            name, shape, opcode, rest = match.groups()
            operands = _NAME.findall(rest.partition(")")[0])
            computation.instructions.append(_Instruction(name, shape or "()", opcode, operands, rest))
    for computation in reversed(module.values()):
        for instruction in computation.instructions:
            for attribute, names in _CALLED.findall(instruction.text):
                for callee in map(module.get, _NAME.findall(names)):
                    if callee:
                        callee.caller = computation, instruction
                        callee.in_loop |= computation.in_loop or attribute in ("body", "condition")
    return module


def _judge(module: dict[str, _Computation], computation: _Computation) -> Iterator[Finding]:
    shapes = {instruction.name: instruction.shape for instruction in computation.instructions}
    # Libraries run fusions of this kind, whatever the type.
    in_library = computation.caller is not None and "kind=kCustom" in computation.caller[1].text
    for instruction in computation.instructions:
        if instruction.opcode != "convolution":
            continue
        lhs, rhs = (shapes[operand] for operand in instruction.operands[:2])
        labels = _attribute(r"dim_labels=([\w>-]+)", instruction.text)
        sizes = dict(zip(re.split("_|->", labels)[1], _sizes(rhs), strict=True))
        if verdict := _why(instruction.text, labels, sizes, lhs.partition("[")[0], in_library):
            op_name, out = _op_name(module, computation, instruction), instruction.shape
            macs = math.prod(_sizes(out)) * math.prod(_sizes(rhs)) // max(sizes["o"], 1)
            where = instruction.name, computation.name, computation.in_loop
            yield Finding(*where, *verdict, op_name, (lhs, rhs, out), macs)


def _why(text: str, labels: str, sizes: dict[str, int], dtype: str, in_library: bool) -> tuple[str, str] | None:
    """Return why a convolution is slow, and what to do; None if it is not."""
    rank = len(sizes) - 2
    axes = "".join(map(str, range(rank)))
    fast = f"b{axes}f_{axes}io->b{axes}f"
    groups = int(_attribute(r"feature_group_count=(\d+)", text) or 1)
    batch_groups = int(_attribute(r"batch_group_count=(\d+)", text) or _expanded_batch_groups(text) or 1)
    if batch_groups > 1:
        return f"{batch_groups} batch groups, expanded into an axis of zeros", ONEDNN
    if groups > 1 and sizes["o"] // groups < FEW_CHANNELS:
        return f"{groups} feature groups of {sizes['i']} to {sizes['o'] // groups} channels, run one by one", ONEDNN
    if not 1 <= rank <= 3:
        advice = "loop over the others" if rank else "write it as a matrix product"
        return f"{rank} spatial axes, not 1 to 3: a naive loop", advice
    if labels == f"{axes}fb_o{axes}i->f{axes}b":
        return "the kernel is larger than the map, and XLA swapped the two: a naive loop", ONEDNN
    if labels != fast:
        return f"layout {labels}, not {fast}: a naive loop", ENABLE
    if "rhs_reversal=" in text:
        return "a reversed window: a naive loop", "reverse the kernel with jnp.flip instead"
    if dtype not in FAST_DTYPES and not in_library:
        return f"dtype {dtype}, not f16 or f32: a naive loop", "compute it in float32 if that is exact enough"
    return None


def _expanded_batch_groups(text: str) -> int:
    """Recognise what XLA makes of g batch groups: a last spatial axis with a window g wide and its inputs g apart."""
    window = _attribute(r"window=\{([^}]*)\}", text)
    last = {key: values.split("x")[-1] for key, values in re.findall(r"(\w+)=(\S+)", window)}
    size = int(last.get("size", 1))
    spread = last.get("lhs_dilate") == str(size) and last.get("stride", "1") == str(size - 1)
    return size if size > 1 and spread and last.get("pad", "0_0") == "0_0" else 0


def _op_name(module: dict[str, _Computation], computation: _Computation, instruction: _Instruction) -> str:
    """Return its own name, or that of the nearest instruction that uses it: XLA's expansions have none."""
    name = instruction.op_name or _user(module, computation, instruction)
    return name or (_op_name(module, *computation.caller) if computation.caller else "")


def _user(module: dict[str, _Computation], computation: _Computation, instruction: _Instruction) -> str:
    """Return the first name among the instructions that use it, inside of fusions first; empty if there is none."""
    carriers = {instruction.name}
    for user in computation.instructions:
        used, name = [operand in carriers for operand in user.operands], ""
        if True not in used:
            continue
        if fused := module.get(_attribute(r"calls=%([\w.-]+)", user.text)):
            parameters = {i.text.partition(")")[0]: i for i in fused.instructions if i.opcode == "parameter"}
            name = _user(module, fused, parameters[str(used.index(True))])
        if name or user.op_name:
            return name or user.op_name
        carriers.add(user.name)
    return ""


def _sizes(shape: str) -> list[int]:
    return [int(size) for size in re.findall(r"\d+", shape.partition("[")[2])]


def _attribute(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""

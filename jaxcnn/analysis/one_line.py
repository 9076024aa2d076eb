"""A network in one line, `conv5x5(10) p2 > relu > pool2 > dense10`: its grammar."""

import dataclasses
import difflib
import re

GRAMMAR = """\
Layers, with > between them; the input's rank says how many sizes a window has, and one size stands for all of them:
  conv5x5(10)  conv5(10)   convolution: window 5x5, 10 filters; 1-D: conv5(10), 3-D: conv5x5x5(10)
  depthwise3  depthwise3(2)  a filter (2 filters) for each channel    transposed4(8)  transposed convolution
  pool2  maxpool3  minpool2  avgpool2   pools, whose stride is their window    globalavg  globalmax  to a vector
  relu  gelu  silu  tanh  sigmoid  softmax  bn  dropout  flatten    dense10  (flattens a map first)

Options, after a layer: s2 stride, p2 padding (s2x1, p2x0: one an axis), d2 dilation, g4 groups, same, same_lower,
valid, circular, reflect, replicate (what the padding holds), nobias, ceil (a pool rounds its size up)"""

WINDOWED = ("s", "p", "d", "same", "same_lower", "valid")
MODES = ("circular", "reflect", "replicate")
OPTIONS: dict[str, tuple[str, ...]] = {
    "conv": (*WINDOWED, "g", *MODES, "nobias"),
    "depthwise": (*WINDOWED, *MODES, "nobias"),
    "transposed": (*WINDOWED, "g", "nobias"),
    **dict.fromkeys(("pool", "maxpool", "minpool", "avgpool"), (*WINDOWED, *MODES, "ceil")),
    **dict.fromkeys(("globalavg", "globalmax", "bn", "dropout", "flatten"), ()),
    **dict.fromkeys(("relu", "gelu", "silu", "tanh", "sigmoid", "softmax"), ()),
    "dense": ("nobias",),
}
"""The layers, and the options that each takes."""
ALIASES = {
    "convolution": "conv", "dwconv": "depthwise", "tconv": "transposed", "deconv": "transposed", "linear": "dense",
    "fc": "dense", "batchnorm": "bn", "globalavgpool": "globalavg", "gap": "globalavg", "globalmaxpool": "globalmax",
}  # fmt: skip
NUMBERED = ("s", "p", "d", "g")
NEEDS = {"conv": "conv5x5(10)", "transposed": "transposed4(8)", "depthwise": "depthwise3", "dense": "dense10"}
"""Layers that need numbers, and how they are written."""


@dataclasses.dataclass(frozen=True)
class Word:
    """One layer of the line.

    Example:
        >>> parse("pool3 s2")[0]
        Word(kind='pool', sizes=(3,), count=None, options={'s': (2,)}, text='pool3', column=1)
    """

    kind: str
    """A layer of `OPTIONS`."""
    sizes: tuple[int, ...]
    """Sizes of its window, as they are written; a dense layer's outputs."""
    count: int | None
    """What stands in parentheses: filters, multiplier."""
    options: dict[str, tuple[int, ...]]
    """Numbers of `s`, `p`, `d` and `g`; `()` for words."""
    text: str
    """As it is written."""
    column: int
    """Where, from 1."""

    def wrong(self, line: str, message: str) -> ValueError:
        """Return an error that points at the layer."""
        return pointed(line, self.column - 1, message)


def parse(line: str) -> list[Word]:
    """Read a network in one line.

    Args:
        line: Layers with `>` between them; see `GRAMMAR`.

    Returns:
        The layers.

    Raises:
        ValueError: What cannot be read: one line, with a ^ before the place, and what may have been meant.

    Example:
        >>> [word.kind for word in parse("conv5x5(10) p2 > relu > pool2 > dense10")]
        ['conv', 'relu', 'pool', 'dense']
        >>> parse("conv5x5(10) p2 > rellu")
        Traceback (most recent call last):
        ValueError: unknown layer 'rellu': did you mean 'relu'? At column 18: conv5x5(10) p2 > ^rellu
    """
    words, start = [], 0
    for part in line.split(">"):
        tokens = [(match.group(), start + match.start()) for match in re.finditer(r"\S+", part)]
        if not tokens:
            raise pointed(line, min(start, len(line)), "a layer is missing")
        words.append(_word(line, tokens))
        start += len(part) + 1
    return words


def pointed(line: str, at: int, message: str) -> ValueError:
    """Return an error that points into a line.

    Args:
        line: The network.
        at: Where, from 0.
        message: What is wrong.

    Returns:
        An error of one line.

    Example:
        >>> print(pointed("conv3(8) > rellu", 11, "unknown layer 'rellu'"))
        unknown layer 'rellu'. At column 12: conv3(8) > ^rellu
    """
    stop = "" if message[-1] in "?." else "."
    return ValueError(f"{message}{stop} At column {at + 1}: {line[:at]}^{line[at:]}")


def _word(line: str, tokens: list[tuple[str, int]]) -> Word:
    """Read a layer and its options."""
    (text, at), *rest = tokens
    lower = text.lower()
    match = re.fullmatch(r"([a-z_-]*)((?:\d+)(?:x\d+)*)?(\((\d+)\))?", lower)
    name = re.split(r"[^a-z_-]", lower, maxsplit=1)[0]
    kind = ALIASES.get(name, name)
    if kind not in OPTIONS:
        raise pointed(line, at, f"unknown layer {name or text!r}{_hint(name, [*OPTIONS, *ALIASES])}")
    written = NEEDS.get(kind, f"{kind}2" if kind.endswith("pool") and "global" not in kind else kind)
    if match is None:
        rest_of_it = text[len(name) :]
        missing = " (a parenthesis is open)" if rest_of_it.count("(") > rest_of_it.count(")") else ""
        raise pointed(line, at + len(name), f"{text!r} cannot be read{missing}: write it as {written}")
    sizes = tuple(map(int, match.group(2).split("x"))) if match.group(2) else ()
    count = int(match.group(4)) if match.group(4) else None
    if kind == "dense" and not sizes and count is not None:
        sizes, count = (count,), None
    _check(line, at, kind, text, written, sizes, count)
    options: dict[str, tuple[int, ...]] = {}
    for token, place in rest:
        option, numbers = _option(line, kind, token, place)
        for names in (("p", "same", "same_lower", "valid"), MODES, (option,)):
            given = [other for other in options if option in names and other in names]
            if given:
                raise pointed(
                    line,
                    place,
                    f"{token!r} contradicts {given[0]!r} before it"
                    if given[0] != option
                    else f"{option!r} is given twice",
                )
        options[option] = numbers
    return Word(kind, sizes, count, options, text, at + 1)


def _check(line: str, at: int, kind: str, text: str, written: str, sizes: tuple[int, ...], count: int | None) -> None:
    """Refuse numbers that are missing, zero or too many."""
    windowed = "s" in OPTIONS[kind]
    if (windowed or kind == "dense") and not sizes:
        what = "its number of outputs" if kind == "dense" else "the size of its window"
        raise pointed(line, at, f"{text!r} lacks {what}: write it as {written}")
    if kind in ("conv", "transposed") and count is None:
        raise pointed(line, at, f"{text!r} lacks its number of filters, in parentheses: write it as {written}")
    takes_count = kind in ("conv", "transposed", "depthwise")
    if (sizes and not windowed and kind != "dense") or (count is not None and not takes_count):
        raise pointed(line, at, f"{text!r} takes no number{' in parentheses' if windowed else ''}: write {written}")
    if kind == "dense" and len(sizes) > 1:
        raise pointed(line, at, f"{text!r} must have one number of outputs: write it as {written}")
    if 0 in sizes or count == 0:
        raise pointed(line, at, f"{text!r} has a zero: sizes and numbers of filters must be at least 1")


def _option(line: str, kind: str, token: str, at: int) -> tuple[str, tuple[int, ...]]:
    """Read one option."""
    allowed = OPTIONS[kind]
    match = re.fullmatch(r"([a-z_-]+)(\d+(?:x\d+)*)?", token.lower())
    name = match.group(1) if match else token
    numbers = tuple(map(int, match.group(2).split("x"))) if match and match.group(2) else ()
    shown = [f"{option}2" if option in NUMBERED else option for option in allowed]
    if name not in allowed:
        if kind in OPTIONS and (ALIASES.get(name, name) in OPTIONS):
            raise pointed(line, at, f"{token!r} is a layer: put > before it")
        takes = f"{kind} takes {', '.join(shown)}" if shown else f"{kind} takes no options"
        near = _hint(name if not numbers else f"{name}{match.group(2)}" if match else token, shown)
        raise pointed(line, at, f"unknown option {token!r}{near or ':'} {takes}")
    if (name in NUMBERED) != bool(numbers):
        raise pointed(line, at, f"{token!r} {'lacks its number' if name in NUMBERED else 'takes no number'}")
    if name == "g" and len(numbers) > 1:
        raise pointed(line, at, f"{token!r} must be one number of groups")
    if name != "p" and 0 in numbers:
        raise pointed(line, at, f"{token!r} must be at least 1")
    return name, numbers


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else ""

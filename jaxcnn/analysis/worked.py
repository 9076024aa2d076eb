"""How an output size is worked out, `(32 + 2*2 - 5)/1 + 1 = 32`, as a textbook writes it, and what there is to note."""

import dataclasses
from collections.abc import Sequence

from jaxcnn.analysis.borders import border
from jaxcnn.analysis.equations import Equation

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What spatial axes are called, by their number."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A window on one axis of a map.

    Example:
        >>> line(Place(size=32, window=5, padding=(2, 2), output=32))
        '(32 + 2*2 - 5)/1 + 1 = 32'
    """

    size: int
    """Positions of the map, N."""
    window: int
    """Positions of the window, F."""
    output: int
    """Positions of the output."""
    stride: int = 1
    """S."""
    padding: tuple[int, int] = (0, 0)
    """Positions added before and after the map; negative ones are cut off."""
    dilation: int = 1
    """Distance between two taps of the window, D."""
    spread: int = 1
    """Distance between two positions of the map: the stride of a transposed convolution."""
    mode: str = "zeros"
    """What the padding holds."""
    pool: bool = False
    """Whether it is a pool, where `ceil_mode` pads too."""

    @property
    def span(self) -> int:
        """Length of the dilated window."""
        return self.dilation * (self.window - 1) + 1

    @property
    def reach(self) -> int:
        """Positions from the first window's begin to the last one's, if that went as far as it can."""
        return self.spread * (self.size - 1) + 1 + sum(self.padding) - self.span

    @property
    def rest(self) -> int:
        """Positions that the stride leaves over."""
        return self.reach % self.stride

    @property
    def overhangs(self) -> bool:
        """Whether a last window hangs over the end, as `ceil_mode` lets it."""
        return self.output > self.reach // self.stride + 1


def places(equation: Equation, before: Sequence[Equation]) -> tuple[Place, ...]:
    """Read off where a convolution's or a pool's window stands, one `Place` a spatial axis.

    Args:
        equation: Any.
        before: The equations of its layer; padding that is written out among them is counted.

    Returns:
        The places; `()` for what has no window.

    Example:
        >>> import jax
        >>> from jaxcnn.analysis.equations import flatten
        >>> x, kernel = jax.numpy.ones((1, 3, 32)), jax.numpy.ones((8, 3, 5))
        >>> closed = jax.make_jaxpr(lambda k, x: jax.lax.conv(x, k, (2,), "SAME"))(kernel, x)
        >>> equations, _, _ = flatten(closed)
        >>> [line(place) for place in places(equations[-1], equations)]
        ['(32 + 1 + 2 - 5)/2 + 1 = 16']
    """
    if equation.primitive == "conv_general_dilated":
        found = _conv(equation)
    elif "place" in equation.params:
        found = _pool(equation)
    elif equation.primitive.startswith("reduce_window"):
        found = _reduce_window(equation)
    else:
        return ()
    settled = []
    for axis, place in found:
        added = border(equation.inputs[0], axis, before)
        low, high = added.padding
        mode = added.mode if low or high else place.mode
        padding = (place.padding[0] + low, place.padding[1] + high)
        settled.append(dataclasses.replace(place, size=added.size, padding=padding, mode=mode))
    return tuple(settled)


def line(place: Place) -> str:
    """Write an output size out.

    Args:
        place: The window.

    Returns:
        `(N + padding - F)/S + 1 = output`, rounded where it leaves a rest; for a transposed convolution,
        `S*(N - 1) + F - cropped = output`.

    Example:
        >>> line(Place(size=7, window=3, stride=3, output=2)), line(Place(size=7, window=2, stride=2, output=4))
        ('floor((7 - 3)/3) + 1 = 2', 'ceil((7 - 2)/2) + 1 = 4')
        >>> line(Place(size=7, window=3, spread=2, padding=(2, 1), output=14))
        '2*(7 - 1) + 3 - 0 - 1 = 14'
    """
    span = f"{place.window}" if place.dilation == 1 else f"({place.dilation}*({place.window} - 1) + 1)"
    low, high = place.padding
    if place.spread > 1 and place.stride == 1:
        crops = (place.span - 1 - low, place.span - 1 - high)
        return f"{place.spread}*({place.size} - 1) + {span}{_sum(-crops[0], -crops[1])} = {place.output}"
    size = f"{place.size}" if place.spread == 1 else f"{place.spread}*({place.size} - 1) + 1"
    quotient = f"({size}{_sum(low, high)} - {span})/{place.stride}"
    if place.overhangs:
        quotient = f"ceil({quotient})"
    elif place.rest:
        quotient = f"floor({quotient})"
    return f"{quotient} + 1 = {place.output}"


def per_axis(texts: Sequence[str]) -> str:
    """Join what is said of each spatial axis; once, where they agree.

    Args:
        texts: One an axis, 1 to 3.

    Returns:
        A line.

    Example:
        >>> per_axis(["3", "3"]), per_axis(["3", "4"])
        ('3', 'height: 3; width: 4')
    """
    if len(set(texts)) <= 1:
        return texts[0] if texts else ""
    return "; ".join(f"{name}: {text}" for name, text in zip(AXES[len(texts)], texts, strict=True))


def notes(found: Sequence[Place]) -> list[str]:
    """Explain what a worked line leaves open: rests of a stride, uneven padding, what the padding holds.

    Args:
        found: Places, one an axis.

    Returns:
        Sentences without a full stop, those that hold on every axis once.

    Example:
        >>> notes([Place(size=8, window=3, stride=3, output=2)])
        ['(8 - 3)/3 = 1.67: a stride of 3 leaves a rest of 2, so the last 2 positions of the map are never seen']
    """
    told = [[_rest(place), _same(place), _mode(place)] for place in found]
    lines = []
    for texts in zip(*told, strict=True):
        if any(texts):
            given = [text for text in texts if text]
            same = len(set(texts)) == 1
            named = [f"{name}: {text}" for name, text in zip(AXES.get(len(texts), texts), texts, strict=True) if text]
            lines += given[:1] if same else named
    return lines


def _sum(*terms: int) -> str:
    """Write what is added: 2*P where both are the same, and nothing where both are zero."""
    if len(set(terms)) == 1:
        return "" if not terms[0] else f" {'+-'[terms[0] < 0]} {len(terms)}*{abs(terms[0])}"
    sign = -1 if all(term <= 0 for term in terms) else 1
    return "".join(f" {'+-'[sign * term < 0 if sign > 0 else term <= 0]} {abs(term)}" for term in terms)


def _rest(place: Place) -> str:
    """Say where the positions are that the stride leaves over."""
    if place.overhangs:
        return "ceil_mode rounds up: the last window hangs over the end of the map"
    if not place.rest or place.spread > 1:
        return ""
    top, lost = f"({place.size}{_sum(*place.padding)} - {place.span})", place.rest - max(place.padding[1], 0)
    if lost <= 0:
        rest = f"a stride of {place.stride} leaves a rest of {place.rest}"
        return f"{rest}, all of it padding: no position of the map is lost"
    exact = f"{place.reach / place.stride:.2f}".rstrip("0").rstrip(".")
    positions = "position of the map is" if lost == 1 else f"{lost} positions of the map are"
    return (
        f"{top}/{place.stride} = {exact}: a stride of {place.stride} leaves a rest of {place.rest}, "
        f"so the last {positions} never seen"
    )


def _same(place: Place) -> str:
    """Say how an odd amount of padding is split."""
    low, high = place.padding
    if low == high or min(low, high) < 0 or place.spread > 1:
        return ""
    needed = max((-(-place.size // place.stride) - 1) * place.stride + place.span - place.size, 0)
    if needed == low + high and abs(low - high) == 1:
        outputs = -(-place.size // place.stride)
        name, extra = ("SAME", "after") if high > low else ("SAME_LOWER", "before")
        name += " or ceil_mode" if place.pool and high > low else ""
        worked = f"({outputs} - 1)*{place.stride} + {place.span} - {place.size} = {needed}"
        split = f"{low} before the map and {high} after it, the odd one {extra}"
        return f"{name}: ceil({place.size}/{place.stride}) = {outputs} outputs need {worked} of padding: {split}"
    return f"padding is uneven: {low} before the map and {high} after it"


def _mode(place: Place) -> str:
    """Say what lies beyond the border, if not zeros."""
    holds = {
        "circular": "circular padding: beyond a border lies the opposite one",
        "reflect": "reflect padding: beyond a border the map is mirrored, the border itself not repeated",
        "symmetric": "symmetric padding: beyond a border the map is mirrored, the border repeated",
        "replicate": "replicate padding: beyond a border its value is repeated",
        "other": "the padding is neither constant, circular, mirrored nor repeated",
    }
    return holds.get(place.mode, "")


def _conv(equation: Equation) -> list[tuple[int, Place]]:
    params, (x, kernel) = equation.params, equation.inputs
    spec = params["dimension_numbers"]
    return [
        (
            axis,
            Place(
                size=x.shape[axis],
                window=kernel.shape[spec.rhs_spec[i + 2]],
                output=equation.output.shape[spec.out_spec[i + 2]],
                stride=params["window_strides"][i],
                padding=_pair(params["padding"][i]),
                dilation=params["rhs_dilation"][i],
                spread=params["lhs_dilation"][i],
            ),
        )
        for i, axis in enumerate(spec.lhs_spec[2:])
    ]


def _pool(equation: Equation) -> list[tuple[int, Place]]:
    place, x = equation.params["place"], equation.inputs[0]
    return [
        (
            i + 1,
            Place(
                size=x.shape[i + 1],
                window=place.window[i],
                output=place.output[i],
                stride=place.strides[i],
                padding=_pair(place.padding[i]),
                dilation=place.dilation[i],
                pool=True,
            ),
        )
        for i in range(len(place.window))
    ]


def _reduce_window(equation: Equation) -> list[tuple[int, Place]]:
    """A pool's spatial axes are those that its window or its stride reaches along, and those between them."""
    params, shape = equation.params, equation.inputs[0].shape
    sizes, strides, padding = params["window_dimensions"], params["window_strides"], params["padding"]
    reached = [i for i, size in enumerate(sizes) if size > 1 or strides[i] > 1 or any(padding[i])]
    return [
        (
            i,
            Place(
                size=shape[i],
                window=sizes[i],
                output=equation.output.shape[i],
                stride=strides[i],
                padding=_pair(padding[i]),
                dilation=params["window_dilation"][i],
                spread=params["base_dilation"][i],
                pool=True,
            ),
        )
        for i in (range(reached[0], reached[-1] + 1) if reached else ())
    ][:3]


def _pair(padding: Sequence[int]) -> tuple[int, int]:
    low, high = padding
    return int(low), int(high)

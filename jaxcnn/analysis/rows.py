"""A summary of a network: its layers as rows, to be read, drawn or written as JSON."""

import dataclasses
import json
from fractions import Fraction
from typing import Any

from jaxcnn.analysis import table


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of a network; of what is known along each spatial axis, one value where the axes agree, else a tuple.

    Example:
        >>> Layer("conv1", "conv", (28, 28, 6), 156).parameters
        156
    """

    name: str
    """Path of attributes, the name stack of its operations: `stage2/block0/conv1`; its parameters' where there are
    no name stacks, or else its operation and a number."""
    op: str
    """Its main operation."""
    shape: tuple[int, ...]
    """Shape of its output, without batch axes."""
    parameters: int
    """Numbers it learns; those that two layers share are the first one's."""
    macs: int = 0
    """Multiply-accumulates for one example, products with padding included."""
    flops: int = 0
    """Floating-point operations for one example."""
    activation_bytes: int = 0
    """Bytes of its output for one example."""
    worked: str = ""
    """How its output size comes out: `(32 + 2*2 - 5)/1 + 1 = 32`; of convolutions and pools."""
    notes: tuple[str, ...] = ()
    """What there is to say of that: rests of a stride, uneven padding, what the padding holds."""
    receptive_field: int | tuple[int | None, ...] | None = None
    """Positions of the input that one unit sees; may exceed the input; 0: none; None: unknown."""
    jump: Any = None
    """Positions of the input between two neighbouring units, the effective stride (int or Fraction)."""
    center: Any = None
    """Position of the input at the centre of the first unit's receptive field (int or Fraction)."""
    padding: Any = None
    """(low, high): units at each border that saw padding."""
    contract: str | tuple[str, ...] = ""
    """What a shift of the input does to it: `equivariant on 2Z`, `invariant`, ..."""
    dense_parameters: int | None = None
    """Of a convolution: the parameters that a dense layer between the same arrays would have."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """A network as a table; `str()` draws it 120 columns wide or narrower.

    Example:
        >>> summary = Summary((4,), (Layer("head", "dense", (2,), 10, macs=8),), {"parameters": 10, "macs": 8})
        >>> print(summary)
        Layer  Operation  Output  Parameters  MACs  Field  Jump
        -------------------------------------------------------
        input                  4                        1     1
        head   dense           2          10     8      -     -
        -------------------------------------------------------
        total                             10     8
    """

    input: tuple[int, ...]
    """Shape of the input, without batch axes."""
    layers: tuple[Layer, ...]
    """Layers in the order in which they finish."""
    totals: dict[str, Any]
    """`parameters`, of the whole tree; `parameter_bytes`; `constants`, numbers in arrays that fn closes over, such as
    running statistics; `macs`, `flops` and `activation_bytes` (all layers' outputs), for one example;
    `arithmetic_intensity`, FLOPs per byte read and written, of the batch that was given; where it was compiled
    `xla_flops` and `xla_peak_bytes`."""
    unknown: dict[str, int] = dataclasses.field(default_factory=dict)
    """Primitives of which something is unknown, and how often they occur."""
    examples: int = 1
    """Size of the batch."""

    def to_json(self) -> str:
        """Return the summary as one JSON document.

        Returns:
            An object with `input`, `layers`, `totals`, `unknown` and `examples`.

        Example:
            >>> Summary((4,), (Layer("head", "dense", (2,), 10),), {"parameters": 10}).to_json()
            '{"input": [4], "layers": [{"name": "head", "op": "dense", "shape": [2], "parameters": 10, ...'
        """
        return json.dumps(dataclasses.asdict(self), default=_number)

    def to_markdown(self, *, dense: bool = False) -> str:
        """Return the summary as a Markdown table.

        Args:
            dense: Compare convolutions with dense layers between the same arrays.

        Returns:
            Lines.

        Example:
            >>> print(Summary((4,), (Layer("head", "dense", (2,), 10),), {"parameters": 10}).to_markdown())
            | Layer | Operation | Size | Output | Parameters | MACs | Field | Jump | Contract |
            ...
        """
        return table.markdown(self, dense=dense)

    def to_text(self, width: int = 120, *, dense: bool = False) -> str:
        """Draw the table.

        Args:
            width: Columns that it may have.
            dense: Compare convolutions with dense layers between the same arrays.

        Returns:
            Lines.

        Example:
            >>> len(Summary((4,), (Layer("head", "dense", (2,), 10),), {"parameters": 10}).to_text(80).splitlines())
            6
        """
        return table.table(self, width, dense=dense)

    def __str__(self) -> str:
        return self.to_text()


def _number(value: Any) -> int | float:
    return float(value) if isinstance(value, Fraction) else value.item()

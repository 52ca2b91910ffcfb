"""The blocks of the papers' tables, as nodes; what they leave out (activations, residuals) is said here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.networks.writer import Activation, Padding, Value, Writer
from fastsep._networks import Row, gate_channels, hidden_channels

# What a block is written by: writer, name of the block, input, row of the table, stride, output channels.
Block = Callable[[Writer, str, Value, Row, int, int], Value]


def conv_norm(
    writer: Writer,
    name: str,
    x: Value,
    channels: int,
    activation: Activation | None,
    kernel: int = 1,
    stride: int = 1,
    padding: Padding | None = None,
    *,
    depthwise: bool = False,
) -> Value:
    """Write convolution, batch norm and activation; without `padding` its middle visits every pixel."""
    if padding is None:
        padding = kernel // 2
    x = writer.conv(name, x, channels, kernel, stride, padding, depthwise=depthwise)
    x = writer.norm(f"{name}.norm", x, activation)
    return writer.activate(f"{name}.activation", x, activation)


def conv(activation: Activation) -> Block:
    """Return what writes a standard convolution."""

    def write(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        padding = 0 if row.options.get("padding") == "valid" else None
        return conv_norm(writer, name, x, channels, activation, row.kernel, stride, padding)

    return write


def separable(activation: Activation) -> Block:
    """Return what writes a depthwise and a pointwise convolution, each with its norm and activation."""

    def write(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        x = conv_norm(
            writer, f"{name}.depthwise", x, x.channels, activation, row.kernel, stride, depthwise=True
        )
        return conv_norm(writer, f"{name}.pointwise", x, channels, activation)

    return write


def inverted(
    activation_of: Callable[[Row], Activation],
    *,
    squeeze: Activation = "relu",
    gate: Activation = "sigmoid",
    reduce: bool = False,
) -> Block:
    """Return what writes an inverted residual; its means are a ReduceMean where `reduce` says so."""

    def write(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        activation = activation_of(row)
        hidden = hidden_channels(row, x.channels)
        y = x if hidden == x.channels else conv_norm(writer, f"{name}.expand", x, hidden, activation)
        y = conv_norm(writer, f"{name}.depthwise", y, hidden, activation, row.kernel, stride, depthwise=True)
        narrow = gate_channels(row, x.channels)
        if narrow is not None:
            squeezed = writer.means(f"{name}.squeeze", y, reduce=reduce)
            squeezed = writer.conv(f"{name}.reduce", squeezed, narrow, bias=True)
            squeezed = writer.activate(f"{name}.reduce.activation", squeezed, squeeze)
            excited = writer.conv(f"{name}.excite", squeezed, hidden, bias=True)
            excited = writer.activate(f"{name}.gate", excited, gate)
            y = writer.multiply(f"{name}.scale", y, excited)
        y = conv_norm(writer, f"{name}.project", y, channels, None)
        return writer.add(f"{name}.residual", x, y) if stride == 1 and x.channels == channels else y

    return write


def bottleneck(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
    """Write a residual block of ResNet."""
    hidden = int(row.options["hidden"])
    shortcut = x
    if x.channels != channels:
        shortcut = conv_norm(writer, f"{name}.shortcut", x, channels, None, stride=stride)
    y = conv_norm(writer, f"{name}.reduce", x, hidden, "relu", stride=stride)
    y = conv_norm(writer, f"{name}.conv", y, hidden, "relu", row.kernel)
    y = conv_norm(writer, f"{name}.expand", y, channels, None)
    return writer.activate(f"{name}.activation", writer.add(f"{name}.residual", y, shortcut), "relu")


def pool(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
    """Write a max pooling."""
    return writer.max_pool(name, x, row.kernel, stride, row.kernel // 2)


def mean(*, reduce: bool = False) -> Block:
    """Return what writes the mean over all pixels, as vectors."""

    def write(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        return writer.flatten(f"{name}.flatten", writer.means(name, x, reduce=reduce))

    return write


def dense(activation: Activation | None = None) -> Block:
    """Return what writes a linear layer, with an activation where more than the classes follow."""

    def write(writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        # The table marks the classes with "!": their number does not grow with the width.
        hidden = row.scales_width
        return writer.activate(
            f"{name}.activation", writer.dense(name, x, channels), activation if hidden else None
        )

    return write


class Xception:
    """Its blocks: three separable convolutions between additions, or two, a pooling, and a strided shortcut.

    Padding is "same", as the author's Keras model exports it.
    """

    PADDING: Padding = "SAME_UPPER"
    # Separable convolutions in a block of the middle flow.
    MIDDLE = 3

    def __init__(self) -> None:
        self.shortcut_value: Value | None = None
        self.middle_input: Value | None = None
        self.inside = 0
        self.activated = False

    @property
    def blocks(self) -> Mapping[str, Block]:
        """What writes each kind of block."""
        return {
            "conv": self.conv,
            "shortcut": self.shortcut,
            "separable": self.separable,
            "pool": self.pool,
            "mean": mean(),
            "dense": dense(),
        }

    def conv(self, writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        """Write one of the first two layers."""
        self.activated = True
        return conv("relu")(writer, name, x, row, stride, channels)

    def shortcut(self, writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        """Write what the pooling after the next rows will add."""
        self.shortcut_value = conv_norm(writer, name, x, channels, None, 1, stride, self.PADDING)
        return x

    def separable(self, writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        """Write one separable convolution: activated before inside a block, after it in the last two rows."""
        middle = row.repeat > self.MIDDLE
        last = self.shortcut_value is None and not middle
        if middle and self.inside == 0:
            self.middle_input = x
        if not last and not self.activated:
            x = writer.activate(f"{name}.activation", x, "relu")
        self.activated = False
        x = writer.conv(f"{name}.depthwise", x, x.channels, row.kernel, stride, self.PADDING, depthwise=True)
        x = conv_norm(writer, f"{name}.pointwise", x, channels, "relu" if last else None)
        if middle:
            self.inside = (self.inside + 1) % self.MIDDLE
            if self.inside == 0:
                assert self.middle_input is not None
                x = writer.add(f"{name}.residual", x, self.middle_input)
        return x

    def pool(self, writer: Writer, name: str, x: Value, row: Row, stride: int, channels: int) -> Value:
        """Write the pooling that ends a block, and the addition of its shortcut."""
        assert self.shortcut_value is not None
        x = writer.max_pool(name, x, row.kernel, stride, self.PADDING)
        x = writer.add(f"{name}.residual", x, self.shortcut_value)
        self.shortcut_value = None
        return x


def mobilenet_v3_activation(row: Row) -> Activation:
    """Return the nonlinearity of a block: ReLU in the first six, which have up to 40 channels (Table 1)."""
    return "relu" if row.channels <= 40 else "hard_swish"


def blocks_of(family: str) -> Mapping[str, Block]:
    """Return what writes the blocks of a family of networks."""
    match family:
        case "mobilenet_v1":
            return {
                "conv": conv("relu6"),
                "separable": separable("relu6"),
                "mean": mean(),
                "dense": dense(),
            }
        case "mobilenet_v2":
            return {
                "conv": conv("relu6"),
                "inverted": inverted(lambda _: "relu6"),
                "mean": mean(),
                "dense": dense(),
            }
        case "mobilenet_v3_large":
            return {
                "conv": conv("hard_swish"),
                "inverted": inverted(mobilenet_v3_activation, gate="hard_sigmoid"),
                "mean": mean(),
                "dense": dense("hard_swish"),
            }
        case "efficientnet":
            return {
                "conv": conv("silu"),
                "inverted": inverted(lambda _: "silu", squeeze="silu", reduce=True),
                "mean": mean(reduce=True),
                "dense": dense(),
            }
        case "xception":
            return Xception().blocks
        case "resnet50":
            return {
                "conv": conv("relu"),
                "pool": pool,
                "bottleneck": bottleneck,
                "mean": mean(),
                "dense": dense(),
            }
        case _:
            raise ValueError(f"no blocks are known for the family {family!r}")

"""A network of `beadseg.models` as an ONNX graph, built from its weights.

A kind of network that can be exported is a row of `GRAPHS`.

Written by hand rather than traced: the network is a dozen kinds of layers, and what
XLA runs fastest (pairs of pixels, shuffles) is not what other runtimes do. Norms with
fixed statistics are folded into the convolutions. The graph takes images of any size.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from ml_collections import ConfigDict
from onnx import helper, numpy_helper

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.models.attention_resunet import AttentionResUNet
from beadseg.models.attention_unet import AttentionUNet
from beadseg.models.network import Network
from beadseg.models.norms import EPSILON, GROUP_SIZE, RELU_GAIN, Norm, stem_norm
from beadseg.models.unet import UNet
from beadseg.training.weights import Weights

OPSET = 17
INPUT = "image"
OUTPUTS = {"mask": "probability", "distance": "distance"}  # of a head


def build_graph(model: ConfigDict, weights: Weights) -> onnx.ModelProto:
    """The network at inference.

    Args:
      model: `config.model`.
      weights: parameters and running statistics.

    Returns:
      A checked model: "image" f32[B, 1, H, W], from about 0 to 1, to a sigmoid for each
      head, f32[B, 1, H, W], named as in OUTPUTS.

    Raises:
      BeadsegError: no row of `GRAPHS` is for this kind of network.
    """
    network = models.build(model)
    write = GRAPHS.get(type(network))
    if write is None:
        raise BeadsegError(
            f"model.name = {model.name!r} cannot be exported to ONNX: use the run in "
            "Python, with beadseg.load(RUN)"
        )
    graph = Graph(model, weights)
    outputs = write(graph)
    tensor = helper.make_tensor_value_info
    size = ["batch", 1, "height", "width"]
    whole = helper.make_graph(
        graph.nodes,
        "beadseg",
        [tensor(INPUT, onnx.TensorProto.FLOAT, size)],
        [tensor(name, onnx.TensorProto.FLOAT, size) for name in outputs],
        graph.constants,
    )
    made = helper.make_model(
        whole,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="beadseg",
    )
    onnx.checker.check_model(made, full_check=True)
    return made


class Graph:
    """A graph under way: each method adds nodes and gives the name of its output."""

    def __init__(self, model: ConfigDict, weights: Weights):
        self.model, self.weights = model, weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def unet(self) -> list[str]:
        """A UNet and its kin; the names of the outputs, a head each."""
        depth, norm = self.model.depth, Norm(self.model.norm)
        params, statistics = self.weights.params, self.weights.statistics

        def block(name, inputs, stem=False):
            first = stem_norm(norm) if stem else norm
            return self.block(
                params[name], statistics.get(name, {}), inputs, first, norm
            )

        size = self.add("Shape", INPUT, start=2)
        multiple = self.constant(np.full(2, 2**depth, np.int64))
        rest = self.add("Mod", self.add("Neg", size), multiple)
        before = self.constant(np.zeros(6, np.int64))
        pads = self.add("Concat", before, rest, axis=0)
        x = self.add("Pad", INPUT, pads, mode="edge")
        skips = []
        for i in range(depth):
            x = block(f"encoder_{i}", [x], stem=i == 0)
            skips.append(x)
            x = self.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = block("bottom", [x])
        for i in reversed(range(depth)):
            skip = skips[i]
            if f"gate_{i}" in params:
                skip = self.gate(params[f"gate_{i}"], skip, x)
            x = block(f"decoder_{i}", [skip, self.double(params[f"double_{i}"], x)])
        starts, axes = (self.constant(np.array(a, np.int64)) for a in ([0, 0], [2, 3]))
        return self.heads(x, lambda x: self.add("Slice", x, starts, size, axes))

    def heads(self, x: str, cut: Callable[[str], str] = lambda x: x) -> list[str]:
        """The probabilities of all heads from what comes before them.

        `cut` takes from maps what belongs to the image.
        """
        names = [OUTPUTS[head] for head in self.model.heads]
        params = [self.weights.params[f"head_{head}"] for head in self.model.heads]
        together = {
            part: np.concatenate([np.asarray(each[part]) for each in params], -1)
            for part in ("kernel", "bias")
        }
        maps = cut(self.add("Sigmoid", self.dense(together, x)))
        self.nodes.append(helper.make_node("Split", [maps], names, axis=1))
        return names

    def block(self, params, statistics, inputs, first, norm) -> str:
        """Plain or residual; `first` is the norm of its first convolution."""
        shortcut, count = None, sum(name.startswith("conv_") for name in params)
        if "shortcut" in params:
            own = params["shortcut"], statistics.get("shortcut")
            shortcut = self.convolution(*own, inputs, first, relu=False)
        for i in range(count):
            own = params[f"conv_{i}"], statistics.get(f"conv_{i}")
            relu = shortcut is None or i < count - 1
            inputs = [self.convolution(*own, inputs, norm if i else first, relu)]
        if shortcut is None:
            return inputs[0]
        return self.add("Relu", self.add("Add", shortcut, inputs[0]))

    def convolution(self, params, statistics, inputs, norm, relu=True) -> str:
        kernel, bias = _f64(params["kernel"]), _f64(params["bias"])
        gain = _f64(params.get("gain", 1.0))
        match norm.kind:
            case "weight":
                kernel = _standardise(kernel) * gain
            case "batch":
                gain = gain / np.sqrt(_f64(statistics["var"]) + EPSILON)
                kernel, bias = kernel * gain, bias - _f64(statistics["mean"]) * gain
        normalise = {"channel": self.over_channels, "group": self.over_groups}
        if norm.kind in normalise:
            x = self.convolve_all(inputs, kernel)
            x = normalise[norm.kind](x, kernel.shape[-1])
            x = self.add("Mul", x, self.constant(_each(gain)))
            x = self.add("Add", x, self.constant(_each(bias)))
        else:
            x = self.convolve_all(inputs, kernel, bias)
        return self.add("Relu", x) if relu else x

    def convolve_all(self, inputs, kernel, bias=None) -> str:
        """Inputs of as many channels each, as if they were one: none is copied."""
        *parts, last = np.split(kernel, len(inputs), axis=2)
        sums = [self.convolve(x, k) for x, k in zip(inputs, parts, strict=False)]
        x = self.convolve(inputs[-1], last, bias)
        for each in sums:
            x = self.add("Add", x, each)
        return x

    def convolve(self, x, kernel, bias=None, stride=1) -> str:
        """kernel [h, w, C, D]; a stride of 2 with a 2x2 kernel has no border."""
        weight = self.constant(kernel.transpose(3, 2, 0, 1).astype(np.float32))
        more = [] if bias is None else [self.constant(bias.astype(np.float32))]
        border = [side // 2 if stride == 1 else 0 for side in kernel.shape[:2]]
        return self.add(
            "Conv",
            x,
            weight,
            *more,
            kernel_shape=kernel.shape[:2],
            pads=[*border, *border],
            strides=[stride, stride],
        )

    def over_channels(self, x, _) -> str:
        mean = self.add("ReduceMean", x, axes=[1])
        return self.standard(self.add("Sub", x, mean), [1])

    def over_groups(self, x, channels) -> str:
        groups = max(channels // GROUP_SIZE, 1)
        flat = self.constant(np.array([0, groups, -1], np.int64))
        grouped = self.add("Reshape", x, flat)
        mean = self.add("ReduceMean", grouped, axes=[2])
        grouped = self.standard(self.add("Sub", grouped, mean), [2])
        return self.add("Reshape", grouped, self.add("Shape", x))

    def standard(self, centred, axes) -> str:
        """Divided by the standard deviation over `axes`."""
        squares = self.add("Mul", centred, centred)
        variance = self.add("ReduceMean", squares, axes=axes)
        epsilon = self.constant(np.float32(EPSILON))
        deviation = self.add("Sqrt", self.add("Add", variance, epsilon))
        return self.add("Div", centred, deviation)

    def double(self, params, x) -> str:
        kernel = np.asarray(params["kernel"], np.float32)
        squares = kernel.reshape(len(kernel), 2, 2, -1).transpose(0, 3, 1, 2)
        weight = self.constant(squares)
        bias = self.constant(np.asarray(params["bias"], np.float32))
        return self.add(
            "ConvTranspose", x, weight, bias, kernel_shape=[2, 2], strides=[2, 2]
        )

    def dense(self, params, x) -> str:
        kernel = np.asarray(params["kernel"])
        return self.convolve(x, kernel[None, None], np.asarray(params["bias"]))

    def gate(self, params, skip, below) -> str:
        query = self.dense(params["below"], below)
        kernel = np.asarray(params["skip"]["kernel"])  # of 2x2 squares of pixels
        kernel = kernel.reshape(2, 2, -1, kernel.shape[-1])
        key = self.convolve(skip, kernel, stride=2)
        hidden = self.add("Relu", self.add("Add", query, key))
        weights = self.add("Sigmoid", self.double(params["weights"], hidden))
        return self.add("Mul", skip, weights)

    def constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [output], **attributes)
        self.nodes.append(node)
        return output


GRAPHS: dict[type[Network], Callable[[Graph], list[str]]] = {
    UNet: Graph.unet,
    AttentionUNet: Graph.unet,
    AttentionResUNet: Graph.unet,
}


def _standardise(kernel: np.ndarray) -> np.ndarray:
    """As `beadseg.models.norms.standardise_kernel`, in f64."""
    fan_in = kernel[..., 0].size
    kernel = kernel - kernel.mean((0, 1, 2))
    squares = np.square(kernel).sum((0, 1, 2))
    return kernel * RELU_GAIN / np.sqrt(squares + EPSILON * fan_in)


def _each(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).reshape(1, -1, 1, 1)


def _f64(array: Any) -> np.ndarray:
    return np.asarray(array, np.float64)

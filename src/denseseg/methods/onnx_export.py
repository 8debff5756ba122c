"""A fitted DenseSeg as one ONNX graph, from an image to its landmarks, for programs without Python, such as a page in a browser.

The graph holds the network, the largest component of each mask, the affine inversion and the shape prior, in standard operators
alone. It looks at the image once (test-time views would cost their number of passes), and it does not move landmarks onto the
predicted outline (that walks along a contour, whose length no graph knows). `graph_choices` gives the method that makes the same
choices in Python. Two steps have no operator of their own and are loops in the graph: connected components, and a linear system of
the size of the shape model.
"""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from torch.nn import functional as F

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError
from denseseg.geometry.decode import decode_affine
from denseseg.geometry.shape_model import ShapeModel
from denseseg.methods.denseseg import EXTRAPOLATED, DenseSeg, MapDecoder
from denseseg.methods.inference import UNREADABLE

OPSET = 18  # the exporter's own; ONNX Runtime Web knows it
OUTPUTS = ("probabilities", "masks", "uv", "landmarks", "covariance", "presence")
STRIDE = 8  # pixels that numbers flood before it is asked whether any moved: asking takes as long as flooding one
SMALL = 1024  # bytes; smaller arrays are stored as they are


def graph_choices(method: DenseSeg) -> DenseSeg:
    """The method as its graph reads images: one view, affine inversion, no projection onto the outline. Weights are shared."""
    chosen = copy(method)
    chosen.recipe = replace(method.recipe, test_time_views=1, decoder=MapDecoder.AFFINE, project_onto_outline=False)
    return chosen


def to_onnx(method: DenseSeg) -> bytes:
    """The ONNX file of a fitted method.

    Input: image (1, 1, H, W) float32 in [0, 1], of the method's size. Outputs: probabilities (1, C, H, W), masks (1, C, H, W) bool,
    uv (1, C, 2, H, W), landmarks (1, N, 2) pixels and their covariance (1, N, 2, 2) pixels squared, both NaN where a structure was
    not found, and presence (1, C), as in `Prediction`. The metadata "anatomy" is the anatomy as JSON. Weights that half precision
    holds exactly are stored in it, so weights that were rounded once make a file of half the size, without another error.
    Raises DataError before `fit`, and where the packages onnx and onnxscript are missing.
    """
    graph = Graph(graph_choices(method)).eval()
    try:
        import onnxscript  # noqa: F401  torch's exporter is made of it
    except ImportError:
        raise DataError('a graph needs the packages onnx and onnxscript: pip install "denseseg[onnx]"') from None
    image = torch.zeros(1, 1, *method.size)
    program = torch.onnx.export(
        graph, (image,), input_names=["image"], output_names=OUTPUTS, dynamo=True, opset_version=OPSET, verbose=False
    )
    assert program is not None
    model = program.model_proto
    forget_origin(model.graph)
    store_small(model)
    model.metadata_props.add(key="anatomy", value=json.dumps(method.anatomy.to_dict()))
    return model.SerializeToString()


class Graph(nn.Module):
    """What is exported: (1, 1, H, W) -> the `OUTPUTS`; the steps of `DenseSeg.predict` in tensor operations."""

    def __init__(self, method: DenseSeg):
        super().__init__()
        self.method, self.network, self.template = method, method.network, method.fitted_template
        model, noise = method.fitted_shape_model, method.landmark_noise
        self.prior = Prior(model, noise, method.anatomy) if noise else None

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        method = self.method
        logits, uv = self.network(method.normalise(image))
        probabilities = torch.sigmoid(logits)
        masks = probabilities > 0.5
        if method.recipe.largest_component:
            masks = largest_components(masks[0])[None]
        decoded = decode_affine(uv, masks, self.template)
        points, covariance = decoded.points[0], decoded.covariance[0]
        if self.prior is not None:
            limit = torch.tensor([method.size[1], method.size[0]]) - 0.5
            outside = ((points < -0.5) | (points > limit)).any(-1)
            points, covariance = self.prior(points, covariance, outside | (decoded.extrapolation[0] > EXTRAPOLATED))
        present = masks.flatten(2).any(-1) | ~method.optional
        return probabilities, masks, uv, points[None], method.covariance_factor * covariance[None], present.float()


def largest_components(masks: Tensor) -> Tensor:
    """(C, H, W) bool masks, each reduced to its largest connected component; pixels touch along rows and columns.

    Each pixel starts with a number of its own; the highest floods its component.
    """
    count, height, width = masks.shape
    numbers = torch.arange(1.0, height * width + 1).view(height, width) * masks

    def flooded(numbers: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        new = numbers
        for _ in range(STRIDE):
            across, down = F.max_pool2d(new, (1, 3), 1, (0, 1)), F.max_pool2d(new, (3, 1), 1, (1, 0))
            new = torch.maximum(across, down) * masks
        return new, (new != numbers).any()

    numbers, _ = while_loop(lambda numbers, moves: moves.clone(), flooded, (numbers, torch.tensor(True)))
    numbers = numbers.flatten(1).long()
    area = torch.zeros(count, height * width + 1).scatter_add(1, numbers, masks.flatten(1).float())
    area = torch.cat([torch.zeros(count, 1), area[:, 1:]], 1)  # 0 is no component
    return (numbers == area.argmax(1, keepdim=True)).view(masks.shape) & masks


class Prior(nn.Module):
    """`inference.apply_shape_prior` and `ShapeModel.posterior` in tensor operations, in double precision.

    points (N, 2), covariance (N, 2, 2), unseen (N,) bool -> the most probable points and the covariance of their error.
    """

    def __init__(self, model: ShapeModel, noise: float, anatomy: Anatomy):
        super().__init__()
        self.residual, self.noise = model.residual, noise
        excess = model.variances - model.residual
        told = excess > 1e-9  # other modes move nothing
        arrays = model.mean, model.modes[:, told], excess[told], np.eye(len(anatomy))[anatomy.membership]
        self.mean, self.modes, self.excess, self.own = (nn.Buffer(torch.as_tensor(array).double()) for array in arrays)

    def forward(self, points: Tensor, covariance: Tensor, unseen: Tensor) -> tuple[Tensor, Tensor]:
        finite = torch.isfinite(points).all(-1)
        seen = finite & ~unseen
        inferred = unseen & seen.any()
        observed = seen.repeat_interleave(2)
        total, modes = self.residual + self.noise**2, self.modes
        shown = observed[:, None] * modes
        # Woodbury, as in `posterior`; scaled so that it is the identity where all is observed
        ridge = total / self.excess
        scale = (ridge + 1).rsqrt()
        inner = scale[:, None] * (torch.diag(ridge) + shown.T @ modes) * scale
        influence = modes @ (scale[:, None] * inverse(inner) * scale)  # (2N, k)

        deviation = points.double().flatten() - self.mean
        explained = influence @ (modes.T @ deviation.where(observed, 0.0))
        kept = self.residual / total
        estimate = self.mean + explained + (kept * (deviation - explained)).where(observed, 0.0)
        placed = (seen | inferred)[:, None]
        best = estimate.view(-1, 2).where(placed, points.double())
        error = self.error(self.root(covariance.double()), influence, observed)
        return best.to(points), error.where(placed[..., None], torch.nan).to(points)

    def root(self, covariance: Tensor) -> Tensor:
        """(2N, 2C) root of the covariance of what was read: errors that are the same all over a structure."""
        local = covariance.where(torch.isfinite(covariance), 0.0)
        excess = (local.diagonal(dim1=1, dim2=2).sum(1) / (2 * UNREADABLE**2)).clamp_min(1.0)
        xx, xy, _, yy = (local / excess[:, None, None]).flatten(1).unbind(1)
        first = (xx + self.noise**2).sqrt()  # Cholesky of 2 x 2
        below = xy / first
        last = (yy + self.noise**2 - below**2).sqrt()
        rows = torch.stack([first, torch.zeros_like(first), below, last], 1).view(-1, 2, 1, 2)
        return (rows * self.own[:, None, :, None]).flatten(2).flatten(0, 1)

    def error(self, root: Tensor, influence: Tensor, observed: Tensor) -> Tensor:
        """(N, 2, 2), as in `Posterior.covariance`."""
        total, modes = self.residual + self.noise**2, self.modes
        pull = torch.ones_like(self.mean).masked_fill(observed, self.noise**2 / total)[:, None]
        root = root.where(observed[:, None], 0.0)
        handed_on = (1 - pull) * root + pull * (influence @ (modes.T @ root))
        sign = torch.ones_like(self.mean).masked_fill(observed, -1.0)[:, None]
        smoothed = blocks(influence * (total * self.noise**2 / self.excess), influence)
        smoothed = smoothed + self.residual * (torch.eye(2).to(root) + blocks(sign * influence, modes))
        return blocks(handed_on, handed_on) + pull.view(-1, 2, 1) ** 2 * smoothed


def blocks(left: Tensor, right: Tensor) -> Tensor:
    """The N blocks (2, 2) on the diagonal of left right^T, both (2N, q)."""
    return left.view(-1, 2, left.shape[1]) @ right.view(-1, 2, right.shape[1]).mT


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of a symmetric positive definite (n, n) matrix: it is swept by one of its columns after the other.

    Sweeping column c with pivot p is to subtract (c - e) (c - e)^T / p and 2 e e^T, e the unit vector; the latter has no influence
    on later steps, so all of it is done in the end.
    """
    places = torch.arange(len(matrix))

    def swept(k: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        unit = (places == k).to(matrix)
        column = matrix @ unit
        rest = column - unit
        return k + 1, matrix - torch.outer(rest, rest / (column @ unit))

    _, matrix = while_loop(lambda k, matrix: k < len(places), swept, (torch.tensor(0), matrix))
    return 2 * torch.eye(len(places)).to(matrix) - matrix


def forget_origin(graph: Any) -> None:
    """Take out of an ONNX graph, and of those in its loops, what the exporter notes of each node, such as paths of this machine."""
    for entry in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, graph]:
        del entry.metadata_props[:]
        entry.doc_string = ""
    for body in (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")):
        forget_origin(body)


def store_small(model: Any) -> None:
    """Store each large array of an ONNX model in the smallest floating-point type that holds it exactly, cast when it is loaded."""
    from onnx import helper, numpy_helper

    for tensor in [t for t in model.graph.initializer if len(t.raw_data) > SMALL]:
        array, kind = numpy_helper.to_array(tensor), tensor.data_type
        for small in (np.float16, np.float32):
            with np.errstate(over="ignore"):
                rounded = array.astype(small)
            if array.dtype.kind == "f" and array.itemsize > rounded.itemsize and np.array_equal(rounded.astype(array.dtype), array):
                name = tensor.name
                tensor.CopyFrom(numpy_helper.from_array(rounded, f"{name}_small"))
                model.graph.node.insert(0, helper.make_node("Cast", [tensor.name], [name], to=kind))
                break

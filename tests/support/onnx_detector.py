"""A detector in YOLOX layout that is a few kilobytes, and whose boxes depend on the picture."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CLASSES = 32, 3
ROWS = 16 + 4 + 1  # cells of the grids of stride 8, 16 and 32


def detector(seed: int = 0, *, batch: int | str = 1, side: int = SIDE) -> onnx.ModelProto:
    """(B, 3, S, S) -> (B, 21, 5 + 3): sizes of about a stride, and scores that are sigmoids."""
    noise = np.random.default_rng(seed)
    rows = sum((side // stride) ** 2 for stride in (8, 16, 32))
    where = noise.normal(0, 1e-5, (3 * side * side, rows * 4)).astype(np.float32)
    what = noise.normal(0, 4e-4, (3 * side * side, rows * (1 + CLASSES))).astype(np.float32)
    tensors = {
        "where": where,
        "what": what,
        "as_boxes": np.array([-1, rows, 4]),
        "as_scores": np.array([-1, rows, 1 + CLASSES]),
    }
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "where"], ["boxes_flat"]),
        helper.make_node("Reshape", ["boxes_flat", "as_boxes"], ["boxes"]),
        helper.make_node("MatMul", ["flat", "what"], ["scores_flat"]),
        helper.make_node("Reshape", ["scores_flat", "as_scores"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, rows, 5 + CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def saved(path: Path, **options) -> Path:
    path.write_bytes(detector(**options).SerializeToString())
    return path

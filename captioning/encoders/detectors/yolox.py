"""Detectors in the ONNX layout of YOLOX (Ge et al. 2021, arXiv:2107.08430), run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from captioning.encoders.detectors.base import Detector, Proposals, coco_names, letterbox, of_the_photo
from captioning.encoders.detectors.onnx_file import objection
from captioning.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example

STRIDES = (8, 16, 32)
GREY = (114, 114, 114)
LARGEST_LOG = 12.0  # of a box's width in strides, when boxes are as the network puts them out


class Yolox(Detector):
    """A model with input (B, 3, H, W), BGR from 0 to 255, letterboxed with grey, and output (B, P, 5 + C).

    The P rows are the cells of the three grids of stride 8, 16 and 32, row by row: centre from the cell's corner and
    logarithm of the size, in strides; objectness; C class scores. A score here is objectness times the best class.

    `file` is the .onnx file. The bytes of the model are a buffer of this module: they travel in a bundle's weights,
    whose loading gives no `file`. `class_names` are by default COCO's 80.
    """

    def __init__(self, *, file: str | Path | None = None, class_names: Sequence[str] | None = None):
        super().__init__()
        self.class_names = tuple(coco_names() if class_names is None else class_names)
        self.shape = (0, 0)  # H, W
        self.session: tuple[str, Any] = ("", None)  # kind of device, and the runtime's session on it
        self.register_buffer("model", torch.zeros(0, dtype=torch.uint8))
        if file is not None:
            self.install(_read(Path(file)), str(file))

    def install(self, content: bytes, name: str) -> None:
        """Makes `content` the model. Raises UserError with `name` unless it is one of this layout."""
        reason = objection(content) if content else "is empty"
        if reason:
            raise UserError(f"{name} {reason}: export a single .onnx file of a YOLOX detector")
        self.model = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.model.device)
        session = _session(content, name, "cpu")
        self.session = ("cpu", session)
        self.shape = self._checked_shape(session, name)

    @property
    def size(self) -> int:
        return max(self.shape)

    def read(self, image: Image, example: Example | None) -> tuple[Tensor, ...]:
        """-> BGR uint8 (3, H, W), and the share (2,) of it that the photo covers."""
        height, width = self.shape
        pixels, extent = letterbox(image, (width, height), GREY)
        return pixels.flip(0), extent

    def forward(self, pictures: Tensor, extent: Tensor) -> Proposals:
        """pictures (B, 3, H, W), extent (B, 2) -> P = H * W * (1/64 + 1/256 + 1/1024) proposals."""
        output = self.output(pictures)
        boxes = decode(output[..., :4], self.shape)
        best, classes = output[..., 5:].max(-1)
        return Proposals(of_the_photo(boxes, extent), (output[..., 4] * best).clamp(0, 1), classes)

    def output(self, pictures: Tensor) -> Tensor:
        """What the network puts out for pictures (B, 3, H, W) -> (B, P, 5 + C)."""
        session = self._on(pictures.device.type)
        (given,) = session.get_inputs()
        pixels = pictures.cpu().float().numpy()
        together = [pixels] if not isinstance(given.shape[0], int) else np.split(pixels, len(pixels))
        found = np.concatenate([session.run(None, {given.name: part})[0] for part in together])
        return torch.from_numpy(found).to(pictures.device)

    def _on(self, kind: str) -> Any:
        if self.session[1] is None or self.session[0] != kind:
            self.session = (kind, _session(self.model.cpu().numpy().tobytes(), "the detector", kind))
        return self.session[1]

    def _checked_shape(self, session: Any, name: str) -> tuple[int, int]:
        inputs, layout = session.get_inputs(), f"YOLOX layout with {len(self.class_names)} classes"
        given = inputs[0].shape if len(inputs) == 1 else []
        if len(given) != 4 or given[1] != 3 or given[0] == 0 or inputs[0].type != "tensor(float)":
            raise UserError(f"{name} is not a detector in {layout}: it should take pictures (1, 3, H, W), not {given}")
        shape = given[2], given[3]
        if not all(isinstance(side, int) and 32 <= side <= 4096 and side % 32 == 0 for side in shape):
            raise UserError(f"{name} takes pictures of {shape}: export it for a height and width divisible by 32")
        self.shape = shape
        wanted = (1, sum((shape[0] // stride) * (shape[1] // stride) for stride in STRIDES), 5 + len(self.class_names))
        try:
            output = self.output(torch.full((1, 3, *shape), GREY[0], dtype=torch.uint8))
        except Exception as error:  # the runtime raises classes of its own for each kind of trouble
            raise UserError(f"{name} cannot be run: {str(error).splitlines()[0][:200]}") from error
        if tuple(output.shape) != wanted:
            raise UserError(
                f"{name} is not a detector in {layout}: it puts out {tuple(output.shape)} and should {wanted}"
            )
        scores = output[..., 4:]
        if not output.isfinite().all() or scores.min() < 0 or scores.max() > 1 or output[..., 2:4].max() > LARGEST_LOG:
            raise UserError(f"{name}: export it with scores in [0, 1] and without decoding its boxes")
        return shape

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: Any) -> None:
        content = state.get(f"{prefix}model")
        if content is not None and not (content.numel() and torch.equal(content.cpu(), self.model.cpu())):
            if content.dtype != torch.uint8 or content.dim() != 1:
                raise UserError(f"{prefix}model should be the bytes of an ONNX file")
            self.install(content.cpu().numpy().tobytes(), f"the detector in {prefix}model")
        super()._load_from_state_dict(state, prefix, *rest)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "session": ("", None)}  # a worker or a copy opens its own


def decode(output: Tensor, shape: tuple[int, int]) -> Tensor:
    """Rows (B, P, 4) of the three grids, as YOLOX puts them out -> x1 y1 x2 y2 in [0, 1] of a picture of `shape`."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = (torch.arange(side // stride, device=output.device) for side in shape)
        cells = torch.cartesian_prod(rows, columns).flip(1)  # (cells, 2) as column and row
        corners.append(cells)
        strides.append(torch.full((len(cells), 1), stride, device=output.device))
    corner, stride = torch.cat(corners).to(output.dtype), torch.cat(strides).to(output.dtype)  # (P, 2), (P, 1)
    middle = (output[..., :2] + corner) * stride
    half = output[..., 2:].clamp(max=LARGEST_LOG).exp() * stride / 2
    size = torch.tensor([shape[1], shape[0]], dtype=output.dtype, device=output.device)
    return torch.cat([(middle - half) / size, (middle + half) / size], -1)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"encoder.detector.file={path}: {error.strerror}. Name an .onnx file in YOLOX layout") from None


def _session(content: bytes, name: str, kind: str) -> Any:
    """An inference session as wide as torch is. Raises UserError where `content` is not an ONNX model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would slow torch's
    options.log_severity_level = 4
    wanted = {"cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}.get(kind, ["CPUExecutionProvider"])
    providers = [one for one in wanted if one in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # the runtime's classes derive from nothing of their own
        raise UserError(f"{name} is not an ONNX model that can be run: {str(error).splitlines()[0][:200]}") from None

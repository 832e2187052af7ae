"""Loggers that need a word of help to work without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger


class MLFlow(MLFlowLogger):
    """MLflow; without a server a database file in `save_dir`, since it takes plain folders no more."""

    def __init__(self, *, save_dir: str, tracking_uri: str | None = None, **options: Any):
        uri = tracking_uri or f"sqlite:///{Path(save_dir).resolve() / 'mlflow.db'}"
        super().__init__(tracking_uri=uri, **options)

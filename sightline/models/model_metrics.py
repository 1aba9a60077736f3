"""Metrics of the models: files, provider, memory of a GPU."""

import logging
import math
from collections.abc import Iterable
from pathlib import Path

from sightline.runtime import metrics

log = logging.getLogger(__name__)

GPU_PROVIDERS = ("cuda", "tensorrt")


def show_models(pack: str, provider: str, files: Iterable[Path]) -> None:
    """Show the models in use and the provider that they run on."""
    for path in files:
        metrics.MODEL_INFO.labels(pack, provider, path.stem).set(1)


def show_memory(device: int) -> None:
    """Show a GPU's memory from now on, read whenever the metrics are.

    Show nothing where NVIDIA's library is missing.
    """
    try:
        import pynvml  # noqa: PLC0415 - belongs to the extra `gpu`
    except ImportError:
        log.info("no GPU memory in the metrics: install nvidia-ml-py")
        return
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device)
        total = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    except pynvml.NVMLError as error:
        log.warning("no GPU memory in the metrics: %s", error)
        return

    def used() -> float:
        try:
            return float(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        except pynvml.NVMLError:  # a lost GPU must not hide the other metrics
            return math.nan

    labels = metrics.GPU_MEMORY_BYTES.labels
    labels(str(device), "total").set(total)
    labels(str(device), "used").set_function(used)

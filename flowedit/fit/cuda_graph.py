"""A step of the loop as CUDA graphs: launched at once instead of kernel by kernel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WARM_UP = 3  # steps run as they are, in which libraries choose their kernels and optimizers make their states
log = logging.getLogger(__name__)


class Captured:
    """Run `look` and `move` as they are for WARM_UP steps, then capture both and replay them.

    What cannot be captured, such as an encoder that reads its own results, is called as it is for good; the log says
    so. The tensors that `look` returns are overwritten by its next call.

    Args:
        look: (chosen, number of the step) -> values; may read nothing back from the device when captured.
        move: moves the parameters by the gradients that `look` has set.
    """

    def __init__(self, look: Callable[[Tensor, int], Tensor], move: Callable[[], None]) -> None:
        self._look, self._move = look, move
        self._aside = torch.cuda.Stream()
        self._graphs: tuple[torch.cuda.CUDAGraph, torch.cuda.CUDAGraph] | None = None

    def look(self, chosen: Tensor, number: int) -> Tensor:
        """Call or replay `look`."""
        if number == WARM_UP:
            self._capture(chosen)
        if self._graphs is None:
            with self._warm():
                return self._look(chosen, number)
        self._chosen.copy_(chosen)
        self._graphs[0].replay()
        return self._values

    def move(self) -> None:
        """Call or replay `move`."""
        if self._graphs is None:
            with self._warm():
                self._move()
        else:
            self._graphs[1].replay()

    def _capture(self, chosen: Tensor) -> None:
        self._chosen = chosen.clone()
        looked, moved = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(looked):
                self._values = self._look(self._chosen, WARM_UP)
            with torch.cuda.graph(moved, pool=looked.pool()):
                self._move()
        except RuntimeError as error:
            log.info("the step cannot be captured as a CUDA graph: %s", str(error).splitlines()[0])
        else:
            self._graphs = looked, moved

    @contextmanager
    def _warm(self) -> Iterator[None]:
        """Work on another stream than the caller's, as CUDA graphs ask of what goes before them."""
        self._aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._aside):
            yield
        torch.cuda.current_stream().wait_stream(self._aside)

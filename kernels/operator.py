"""How an operation becomes a torch operator, and is called straight where nobody looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PLAIN = (Tensor, torch.nn.Parameter)


class Operator:
    """A torch custom operator whose CPU kernel is a Python function.

    Whatever traces a program (torch.compile, fake tensors) or runs it elsewhere meets the registered operator. Ordinary
    CPU tensors go straight to the function: after an encoder has emptied the caches, torch's way through an operator
    takes several times as long as the kernels behind it.

    Args:
        name: "flowedit::" and the operator's.
        function: the kernel; its annotations are the operator's schema.

    Attributes:
        definition: the operator as torch knows it.
        kernel: the function, without a gradient.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.definition = torch.library.custom_op(name, function, mutates_args=(), device_types="cpu")
        self.register_fake = self.definition.register_fake
        self.register_kernel = self.definition.register_kernel
        self.__doc__ = function.__doc__
        self.kernel = self._straight = function

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., None]) -> None:
        """Make it differentiable, once; arguments as of the method of torch's own definition."""
        self.definition.register_autograd(backward, setup_context=setup_context)
        kernel = self.kernel

        class Straight(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *arguments: Any) -> Any:
                output = kernel(*arguments)
                setup_context(ctx, arguments, output)
                return output

            @staticmethod
            @once_differentiable
            def backward(ctx: Any, *cotangents: Tensor) -> Any:
                return backward(ctx, *cotangents)

        self._straight = Straight.apply

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        if torch.compiler.is_compiling() or any(
            isinstance(x, Tensor) and not (x.is_cpu and type(x) in PLAIN) for x in arguments
        ):
            return self.definition(*arguments)
        return self._straight(*arguments)


def operator(name: str) -> Callable[[Callable[..., Any]], Operator]:
    """Make a function an `Operator`."""
    return lambda function: Operator(name, function)

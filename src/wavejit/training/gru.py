"""A GRU over many steps at once, for training.

On a GPU this is cuDNN's. On a CPU PyTorch adds up the gradient of the recurrent weights step by step, each time
reading and writing all of them; here the gates' gradients are kept and one product adds up all steps at the end.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class GRU(nn.Module):
    """The GRU of `ir/builder.py`: gates reset, update, new; `inputs` are its products with what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * width, width))
        self.bias = nn.Parameter(torch.zeros(3 * width))
        for gate in self.weight.data.chunk(3):
            nn.init.orthogonal_(gate)

    def forward(self, inputs: Tensor, first: Tensor) -> Tensor:
        """States `(steps, batch, width)` from inputs `(steps, batch, 3 * width)` and the state before them."""
        if inputs.is_cuda:
            return _cudnn(inputs, first, self.weight, self.bias)
        return _Recurrence.apply(inputs, first, self.weight, self.bias)


def _cudnn(inputs: Tensor, first: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """cuDNN has no form for inputs that are products already: they go through an identity."""
    identity = torch.eye(inputs.shape[-1], dtype=inputs.dtype, device=inputs.device)
    none = torch.zeros_like(bias)
    weights = [identity, weight.to(inputs.dtype), none.to(inputs.dtype), bias.to(inputs.dtype)]
    return torch.gru(inputs, first[None].to(inputs.dtype), weights, True, 1, 0.0, True, False, False)[0]


class _Recurrence(torch.autograd.Function):
    """The recurrence and its gradient by hand: backpropagation through time."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, first: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, batch, width = inputs.shape[0], inputs.shape[1], first.shape[1]
        states = inputs.new_empty(steps + 1, batch, width)
        gates = inputs.new_empty(steps, batch, 3 * width)  # reset, update, new
        products = inputs.new_empty(steps, batch, width)  # of the new gate, before the reset
        all_products, transposed = inputs.new_empty(batch, 3 * width), weight.t()
        states[0] = first
        for t in range(steps):
            h, both, new = states[t], gates[t, :, : 2 * width], gates[t, :, 2 * width :]
            torch.addmm(bias, h, transposed, out=all_products)
            torch.add(inputs[t, :, : 2 * width], all_products[:, : 2 * width], out=both)
            both.sigmoid_()
            products[t] = all_products[:, 2 * width :]
            torch.addcmul(inputs[t, :, 2 * width :], both[:, :width], products[t], out=new)
            new.tanh_()
            torch.lerp(new, h, both[:, width:], out=states[t + 1])
        ctx.save_for_backward(states, gates, products, weight)
        return states[1:]

    @staticmethod
    @once_differentiable  # which types of PyTorch's own do not know
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (wanted,) = grad_outputs
        states, gates, products, weight = ctx.saved_tensors
        steps, batch, width = products.shape
        reset, update, new = gates.split(width, 2)
        # What multiplies the state's gradient to give each gate's, for all steps at once.
        to_new = (1 - update) * (1 - new * new)
        to_update = (states[:-1] - new) * update * (1 - update)
        to_reset = to_new * products * reset * (1 - reset)
        of_inputs = torch.empty_like(gates)
        of_products = torch.empty_like(gates)
        dh = torch.zeros_like(states[0])
        for t in range(steps - 1, -1, -1):
            dh += wanted[t]
            d, p = of_inputs[t], of_products[t]
            torch.mul(dh, to_reset[t], out=p[:, :width])
            torch.mul(dh, to_update[t], out=p[:, width : 2 * width])
            torch.mul(dh, to_new[t], out=d[:, 2 * width :])
            torch.mul(d[:, 2 * width :], reset[t], out=p[:, 2 * width :])
            dh *= update[t]
            dh.addmm_(p, weight)
        of_inputs[..., : 2 * width] = of_products[..., : 2 * width]
        flat = of_products.view(steps * batch, -1)
        of_weight = flat.t() @ states[:-1].reshape(steps * batch, width)
        return of_inputs, dh, of_weight, flat.sum(0)

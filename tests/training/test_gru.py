"""The recurrence and its gradient by hand, against PyTorch's own."""

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from wavejit.training.gru import GRU, _cudnn, _Recurrence  # noqa: E402


def drawn(width: int = 5, steps: int = 7, batch: int = 3) -> tuple:
    torch.manual_seed(0)
    layer = GRU(width).double()
    torch.nn.init.normal_(layer.bias)
    inputs = torch.randn(steps, batch, 3 * width, dtype=torch.double, requires_grad=True)
    return layer, inputs, torch.randn(batch, width, dtype=torch.double, requires_grad=True)


def test_the_gradient_is_that_of_differences() -> None:
    layer, inputs, first = drawn()
    assert torch.autograd.gradcheck(_Recurrence.apply, (inputs, first, layer.weight, layer.bias))


def test_the_states_are_those_of_the_gru_that_a_gpu_runs() -> None:
    layer, inputs, first = drawn()
    torch.testing.assert_close(layer(inputs, first), _cudnn(inputs, first, layer.weight, layer.bias))

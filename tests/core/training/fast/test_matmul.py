import pytest
import torch

from core.training.fast import matmul
from core.training.fast.adapter import Frozen
from core.training.fast.matmul import pad_rows, prepack

TOLERANCE = 1e-5  # of sums of 48 products of numbers around 1
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


@needs_onednn
@pytest.mark.parametrize("onto", [False, True], ids=["alone", "onto"])
def test_both_libraries_give_the_same_products_forward_and_backward(onto: bool) -> None:
    torch.manual_seed(0)
    x, grad, weight, bias = (
        torch.randn(40, 48),
        torch.randn(40, 24),
        torch.randn(24, 48),
        torch.randn(24),
    )
    below, above = (torch.randn(40, 24), torch.randn(40, 48)) if onto else (None, None)
    own, other = Frozen(weight, bias, onednn=False), Frozen(weight, bias, onednn=True)

    assert torch.allclose(other.forward(x, below), own.forward(x, below), atol=TOLERANCE)
    assert torch.allclose(other.backward(grad, above), own.backward(grad, above), atol=TOLERANCE)
    expected = x.double() @ weight.double().T + bias + (0 if below is None else below)
    assert torch.allclose(other.forward(x, below).double(), expected, atol=TOLERANCE)


@needs_onednn
def test_a_packed_weight_and_a_gelu_on_the_way_change_no_result() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(64, 48), torch.randn(24, 48), torch.randn(24)
    expected = torch.nn.functional.gelu(x.double() @ weight.double().T + bias)

    for frozen in (
        Frozen(weight, bias, onednn=False),
        Frozen(weight, bias, onednn=True),
        Frozen(prepack(weight), bias, onednn=True),
    ):
        assert torch.allclose(frozen.gelu(x).double(), expected, atol=TOLERANCE)
    assert torch.allclose(
        Frozen(prepack(weight), bias, onednn=True).forward(x),
        Frozen(weight, bias, onednn=False).forward(x),
        atol=TOLERANCE,
    )


def test_a_product_takes_time_in_either_precision_and_library() -> None:
    measured = matmul.measure_products()

    assert (measured.onednn is not None) is torch.backends.mkldnn.is_available()
    assert min(measured.fp32, measured.bf16, measured.onednn or 1.0) > 0


def test_products_are_timed_in_turns() -> None:
    called: list[str] = []

    def product(name: str) -> torch.Tensor:
        called.append(name)
        return torch.empty(0)

    ticks = iter(range(1000))  # a product takes from one look at the clock to the next
    slow = [lambda: product("a"), lambda: (next(ticks), product("b"))[1]]

    assert matmul.time_products(slow, clock=lambda: float(next(ticks))) == [1.0, 2.0]
    assert called == ["a", "b"] * (1 + matmul.TRIES)


@pytest.mark.parametrize(
    ("rows", "fine", "required"),
    [
        (1, False, 64),
        (64, False, 64),
        (65, False, 128),
        (257, False, 320),
        (65, True, 128),
        (256, True, 256),
        (257, True, 288),
    ],
)
def test_rows_are_filled_up_with_zeros(rows: int, fine: bool, required: int) -> None:
    result = pad_rows(torch.ones(rows, 3), fine)

    assert result.shape == (required, 3)
    assert result.sum() == 3 * rows

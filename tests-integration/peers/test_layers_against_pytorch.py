"""Weights written here are read by PyTorch and the other way round; only Linear is transposed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tinytorch.layers as nn
from tinytorch.autograd import no_grad
from tinytorch.tensor import Tensor

pytestmark = pytest.mark.peers

LINEAR = ("1.weight", "4.weight")


def ours() -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(11, 6), nn.Linear(6, 8), nn.GELU("none"), nn.LayerNorm(8), nn.Linear(8, 3, bias=False)
    )


def theirs() -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Embedding(11, 6),
        torch.nn.Linear(6, 8),
        torch.nn.GELU(),
        torch.nn.LayerNorm(8),
        torch.nn.Linear(8, 3, bias=False),
    )


def turned(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.T.contiguous() if name in LINEAR else value for name, value in state.items()}


TOKENS = np.array([[1, 5, 10], [0, 2, 2]])


def test_pytorch_reads_what_was_saved_here(tmp_path: Path) -> None:
    one, other = ours(), theirs()
    nn.save(one, tmp_path / "model", {"written": "here"})
    other.load_state_dict(turned(load_file(tmp_path / "model")))
    with no_grad(), torch.no_grad():
        expected = other(torch.tensor(TOKENS)).numpy()
        np.testing.assert_allclose(one(Tensor(TOKENS)).data, expected, rtol=1e-5, atol=1e-6)


def test_what_pytorch_saved_is_read_here(tmp_path: Path) -> None:
    one, other = ours(), theirs()
    save_file(turned(other.state_dict()), tmp_path / "model")
    nn.load(one, tmp_path / "model")
    with no_grad(), torch.no_grad():
        expected = other(torch.tensor(TOKENS)).numpy()
        np.testing.assert_allclose(one(Tensor(TOKENS)).data, expected, rtol=1e-5, atol=1e-6)


def test_a_linear_that_was_not_transposed_is_refused_with_the_reason(tmp_path: Path) -> None:
    save_file(theirs().state_dict(), tmp_path / "model")
    with pytest.raises(ValueError, match=r"1.weight is \(6, 8\), the value is \(8, 6\) .*transpose it"):
        nn.load(ours(), tmp_path / "model")


def test_bfloat16_files_are_read_to_the_bit(tmp_path: Path) -> None:
    value = torch.randn(5, 7).to(torch.bfloat16)
    save_file({"x": value, "y": torch.ones(2)}, tmp_path / "half")
    found = nn.load_tensors(tmp_path / "half")
    np.testing.assert_array_equal(found["x"], value.to(torch.float32).numpy())
    np.testing.assert_array_equal(found["y"], 1.0)


def test_training_step_for_step() -> None:
    """Ten steps of gradient descent on the same data end at the same weights."""
    one, other = ours().astype("float64"), theirs().double()
    other.load_state_dict(turned({name: torch.tensor(tensor.data.copy()) for name, tensor in one.state_dict().items()}))
    targets = np.array([[0, 2, 1], [1, -100, 2]])
    loss, peer_loss = nn.CrossEntropyLoss(label_smoothing=0.1), torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(10):
        one.zero_grad()
        other.zero_grad()
        mine = loss(one(Tensor(TOKENS)), targets)
        peer = peer_loss(other(torch.tensor(TOKENS)).permute(0, 2, 1), torch.tensor(targets))
        assert mine.item() == pytest.approx(peer.item(), rel=1e-12)
        mine.backward()
        peer.backward()
        for parameter in one.parameters():
            assert parameter.grad is not None
            parameter.data -= 0.1 * parameter.grad.data
        with torch.no_grad():
            for weight in other.parameters():
                weight -= 0.1 * weight.grad
    for (name, weight), (_, peer_weight) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        expected = peer_weight.detach().numpy()
        np.testing.assert_allclose(weight.data, expected.T if name in LINEAR else expected, rtol=1e-10, atol=1e-12)

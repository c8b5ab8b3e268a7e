"""Multi-head attention is its steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinytorch.attention import (
    MultiHeadAttention,
    RotaryEmbedding,
    attention,
    causal_mask,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
)
from tinytorch.autograd import gradcheck, gradgradcheck
from tinytorch.tensor import Tensor, concat, handling, randn


def made(*args: Any, **how: Any) -> MultiHeadAttention:
    return MultiHeadAttention(*args, dtype="float64", generator=np.random.default_rng(0), **how)


def test_heads_are_split_and_merged() -> None:
    x = randn(2, 3, 8, dtype="float64", requires_grad=True)
    heads = split_heads(x, num_heads=4)
    assert np.array_equal(heads.data[1, 2, 0], x.data[1, 0, 4:6])
    assert np.array_equal(merge_heads(heads).data, x.data)
    assert gradcheck(lambda x: split_heads(x, num_heads=4), x)
    assert gradgradcheck(lambda x: merge_heads(split_heads(x, num_heads=2) ** 3), x)


def test_forward_is_merge_of_attend_of_project() -> None:
    layer = made(8, 4, num_kv_heads=2, causal=True, rotary=RotaryEmbedding(2))
    x = randn(2, 5, 8, dtype="float64")
    q, k, v = layer.project(x)
    assert (q.shape, k.shape, v.shape) == ((2, 4, 5, 2), (2, 2, 5, 2), (2, 2, 5, 2))
    assert np.array_equal(layer(x).data, layer.merge(layer.attend(q, k, v)).data)


def test_each_head_attends_for_itself() -> None:
    layer = made(6, 3, bias=False)
    x = randn(1, 4, 6, dtype="float64")
    parts = []
    for head in range(3):
        columns = slice(2 * head, 2 * head + 2)
        q, k, v = (x @ p.weight[:, columns] for p in (layer.q_proj, layer.k_proj, layer.v_proj))
        parts.append(scaled_dot_product_attention(q, k, v)[0])
    expected = concat(parts, axis=-1) @ layer.out_proj.weight
    np.testing.assert_allclose(layer(x).data, expected.data, atol=1e-14)


def test_shared_keys_are_keys_repeated() -> None:
    shared, full = made(8, 4, num_kv_heads=2), made(8, 4)
    for name in ("q_proj", "out_proj"):
        setattr(full, name, getattr(shared, name))
    for name in ("k_proj", "v_proj"):
        ours, theirs = getattr(shared, name), getattr(full, name)
        theirs.weight.data = ours.weight.data.reshape(8, 2, 1, 2).repeat(2, axis=2).reshape(8, 8)
        theirs.bias.data = ours.bias.data.reshape(2, 1, 2).repeat(2, axis=1).reshape(8)
    x = randn(2, 5, 8, dtype="float64")
    np.testing.assert_allclose(shared(x).data, full(x).data, atol=1e-14)


def test_attention_attends() -> None:
    weights = made(8, 2).weights(randn(1, 6, 8, dtype="float64") * 5).data
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    assert weights.std() > 0.01  # uniform weights would all be 1/6


def test_a_later_token_changes_no_earlier_result() -> None:
    layer = made(8, 2, causal=True, rotary=RotaryEmbedding(4))
    x = randn(1, 6, 8, dtype="float64")
    changed = x.data.copy()
    changed[:, 3] += 1
    before, after = layer(x).data, layer(Tensor(changed, "float64")).data
    assert np.array_equal(before[:, :3], after[:, :3])
    assert not np.isclose(before[:, 3:], after[:, 3:]).all(axis=-1).any()


def test_rotary_results_depend_on_distances_only() -> None:
    layer = made(8, 2, causal=True, rotary=RotaryEmbedding(4))
    x = randn(1, 4, 8, dtype="float64")
    np.testing.assert_allclose(layer(x).data, layer(x, positions=np.arange(50, 54)).data, atol=1e-12)


def test_a_batch_with_padding_matches_single_texts() -> None:
    layer = made(8, 2, causal=True)
    x = randn(2, 5, 8, dtype="float64")
    batch = layer(x, padding_mask([5, 3]))
    np.testing.assert_allclose(batch.data[1, :3], layer(x[1:, :3]).data[0], atol=1e-14)


def test_keys_may_come_from_another_sequence() -> None:
    layer = made(8, 2)
    x, memory = randn(2, 3, 8, dtype="float64"), randn(2, 7, 8, dtype="float64")
    out = layer(x, padding_mask([7, 4]), kv_input=memory)
    assert out.shape == (2, 3, 8)
    np.testing.assert_allclose(out.data[1], layer(x[1:], kv_input=memory[1:, :4]).data[0], atol=1e-14)
    with pytest.raises(ValueError, match="rotary positions and kv_input"):
        made(8, 2, rotary=RotaryEmbedding(4))(x, kv_input=memory)


def test_every_parameter_has_the_right_gradient() -> None:
    layer = made(4, 2, num_kv_heads=1, causal=True, rotary=RotaryEmbedding(2))
    x = randn(1, 3, 4, dtype="float64", requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *values: Tensor) -> Tensor:
        for name, value in zip(names, values, strict=True):
            module, _, leaf = name.rpartition(".")
            object.__setattr__(layer.get_submodule(module), leaf, value)
        return layer(x)

    assert gradcheck(run, [x, *layer.parameters()])


def test_dropout_acts_on_weights_while_training_only() -> None:
    layer = made(8, 2, dropout=0.5)
    x = randn(1, 6, 8, dtype="float64")
    plain = layer.eval()(x).data
    assert np.array_equal(plain, layer(x).data)
    layer.train()
    layer.generator = np.random.default_rng(0)
    dropped = np.mean([layer(x).data for _ in range(400)], axis=0)
    assert not np.allclose(layer(x).data, plain)
    np.testing.assert_allclose(dropped, plain, atol=0.1)  # right on average
    layer(x).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_the_core_can_be_replaced_and_put_back() -> None:
    layer, seen = made(8, 2, causal=True), []

    def core(q: Tensor, k: Tensor, v: Tensor, mask: Any, causal: bool) -> Tensor:
        seen.append((q.shape, causal))
        return attention(q, k, v, mask, causal=causal)

    x = randn(1, 3, 8, dtype="float64")
    before = layer(x)
    layer.core = core
    assert np.array_equal(layer(x).data, before.data)
    assert seen == [((1, 2, 3, 4), True)]
    assert "core" not in "".join(layer.state_dict())


def test_handlers_see_attention_as_one_operation() -> None:
    names = []

    class Watch:
        level = 2

        def __call__(self, next: Any, primitive: Any, args: Any, params: Any) -> Any:
            names.append(primitive.name)
            return next(primitive, args, params)

    with handling(Watch()):
        made(8, 2)(randn(1, 3, 8, dtype="float64"))
    assert names.count("attention") == 1 and names.count("linear") == 4


X = randn(1, 3, 8)
WRONG: dict[str, tuple[Any, str]] = {
    "heads that do not divide": (lambda: MultiHeadAttention(8, 3), "not a multiple of num_heads 3"),
    "keys that do not divide": (lambda: MultiHeadAttention(8, 4, 3), "not a multiple of num_kv_heads 3"),
    "no heads": (lambda: MultiHeadAttention(8, 0), "at least 1"),
    "half a head": (lambda: MultiHeadAttention(8, 2.0), "must be an int"),  # type: ignore[arg-type]
    "dropout above 1": (lambda: MultiHeadAttention(8, 2, dropout=1.5), "probability"),
    "rotary of another size": (lambda: MultiHeadAttention(8, 2, rotary=RotaryEmbedding(8)), "heads have 4"),
    "input of another size": (lambda: MultiHeadAttention(4, 2)(X), "(B, T, 4)"),
    "input without batch": (lambda: MultiHeadAttention(8, 2)(X[0]), "(B, T, 8)"),
    "mask of another size": (lambda: MultiHeadAttention(8, 2)(X, causal_mask(4)), "must broadcast"),
    "mask that adds axes": (lambda: attention(X[None], X[None], X[None], np.ones((2, 1, 1, 3, 3))), "must broadcast"),
    "mask of other integers": (lambda: attention(X[None], X[None], X[None], np.full((3, 3), 2)), "floating point"),
    "three axes": (lambda: attention(X, X, X), "add the axes that are missing"),
    "integers": (lambda: attention(Tensor([[[[1]]]]), X[None], X[None]), "floating-point"),
    "different widths": (lambda: attention(X[None], X[None, ..., :4], X[None]), "the form is"),
    "different lengths": (lambda: attention(X[None], X[None], X[None, :, :2]), "the form is"),
    "readable, different widths": (lambda: scaled_dot_product_attention(X, X[..., :4], X), "the form is"),
    "heads of nothing": (lambda: split_heads(X, num_heads=3), "a multiple"),
    "no heads to merge": (lambda: merge_heads(X), "(B, H, T, D)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case: str) -> None:
    run, words = WRONG[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        run()
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_layers_take_buffers_as_all_modules_do() -> None:
    for layer in (made(8, 2), RotaryEmbedding(4)):
        layer.register_buffer("seen", Tensor([0.0]))
        assert layer.seen.tolist() == [0.0]

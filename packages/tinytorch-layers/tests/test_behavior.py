"""What layers and losses do beyond their formulas, and what they say when they are misused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.layers as nn
from tinytorch.autograd import grad, gradcheck, no_grad
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor, default_generator, manual_seed, ones, randn, zeros


def test_dropout_scales_what_it_keeps_and_does_nothing_in_evaluation() -> None:
    manual_seed(0)
    x, layer = ones(200, 200), nn.Dropout(0.25)
    out = layer(x)
    assert set(np.unique(out.data)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (out.data == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_passes_gradients_where_it_kept() -> None:
    x = Tensor(np.ones((5, 5)), "float64", requires_grad=True)
    out = F.dropout(x, 0.5, generator=np.random.default_rng(0))
    out.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.data, out.data)
    assert gradcheck(lambda x: F.dropout(x * x, 0.5, generator=np.random.default_rng(0)), x)


def test_dropout_is_seeded_by_its_generator_or_the_default_one() -> None:
    x = ones(50)
    one = nn.Dropout(0.5, generator=np.random.default_rng(1))(x)
    other = nn.Dropout(0.5, generator=np.random.default_rng(1))(x)
    np.testing.assert_array_equal(one.data, other.data)
    manual_seed(5)
    before = F.dropout(x).data
    manual_seed(5)
    np.testing.assert_array_equal(F.dropout(x).data, before)
    state = default_generator().bit_generator.state
    F.dropout(x, training=False)
    assert default_generator().bit_generator.state == state


def test_identity_and_flatten() -> None:
    x = randn(2, 3, 4)
    assert nn.Identity(3, whatever=True)(x) is x
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)


def test_the_padding_row_of_an_embedding_stays() -> None:
    table = nn.Embedding(4, 2, padding_idx=1)
    table(Tensor([[1, 2], [1, 1]])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]


def test_a_mean_over_nothing_that_counts_is_nan_and_pulls_nowhere() -> None:
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    for loss in (nn.CrossEntropyLoss(), nn.NLLLoss()):
        assert np.isnan(loss(x, [-100, -100]).item())
    assert nn.CrossEntropyLoss(reduction="sum")(x, [-100, -100]).item() == 0
    assert nn.CrossEntropyLoss(reduction="none")(x, [-100, -100]).tolist() == [0, 0]
    nn.CrossEntropyLoss()(x, [-100, -100]).backward()
    assert x.grad is not None
    assert (x.grad.data == 0).all()


def test_ignored_rows_may_hold_anything() -> None:
    x = Tensor([[0.0, 1.0], [np.inf, 0.0], [np.nan, 0.0]], requires_grad=True)
    with np.errstate(invalid="ignore"):
        loss = F.cross_entropy(x, [0, -100, -100])
        loss.backward()
    assert loss.item() == pytest.approx(np.log(1 + np.e))
    assert x.grad is not None
    assert np.isfinite(x.grad.data).all()
    assert F.nll_loss(x, [0, -100, -100]).item() == 0


def test_logits_of_any_size_have_a_finite_loss() -> None:
    x = Tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    for target in (np.zeros(5), np.ones(5)):
        loss = F.binary_cross_entropy_with_logits(x, target, reduction="none")
        assert loss.data.max() == 1e4
        assert np.isfinite(loss.data).all()
    p = Tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    losses = F.binary_cross_entropy(p, [0.0, 1.0, 1.0, 0.0], reduction="none")
    assert losses.tolist() == [0, 0, 100, 100]


def test_what_is_impossible_may_have_no_chance_at_all() -> None:
    x = Tensor([[0.0, -np.inf], [1.0, 2.0]], requires_grad=True)
    loss = F.cross_entropy(x, [[1.0, 0.0], [0.5, 0.5]])
    assert loss.item() == pytest.approx((np.log(1 + np.e) + np.log(1 + 1 / np.e)) / 4)
    loss.backward()
    assert x.grad is not None
    assert x.grad[0].tolist() == [0.0, 0.0]


def test_certain_probabilities_are_the_class() -> None:
    x, targets = randn(4, 3), np.array([2, 0, 1, 1])
    certain = np.eye(3)[targets]
    for options in ({}, {"label_smoothing": 0.3}, {"reduction": "none"}, {"reduction": "sum", "weight": [1, 2, 0.5]}):
        one, other = F.cross_entropy(x, targets, **options), F.cross_entropy(x, certain, **options)
        np.testing.assert_allclose(one.data, other.data, rtol=1e-6)


def test_cross_entropy_is_log_softmax_and_nll() -> None:
    x, targets = randn(7, 5), np.arange(7) % 5
    one, other = F.cross_entropy(x, targets), F.nll_loss(F.log_softmax(x), targets)
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_classes_may_stand_on_any_axis() -> None:
    x = randn(2, 5, 3)
    targets = np.array([[0, 1, 2], [3, 4, 0]])
    last = F.cross_entropy(x.permute(0, 2, 1), targets)
    assert F.cross_entropy(x, targets, axis=1).item() == pytest.approx(last.item(), rel=1e-6)


def test_class_weights_belong_to_the_loss() -> None:
    loss = nn.CrossEntropyLoss(weight=[1.0, 2.0])
    assert list(loss.state_dict()) == ["weight"]
    loss.astype("float64")
    assert loss(Tensor(np.zeros((1, 2)), "float64"), [1]).dtype == np.float64


def test_nothing_is_recorded_without_gradients() -> None:
    layer = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2))
    with no_grad():
        out = F.cross_entropy(layer(randn(5, 3)), np.zeros(5, int))
    assert not out.requires_grad
    assert out.node is None


def test_a_small_network_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2))
    targets = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = nn.Sequential(nn.Linear(2, 16, generator=rng), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 2, generator=rng))
    losses = []
    for _ in range(300):
        loss = F.cross_entropy(model(x), targets)
        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.data -= 0.3 * parameter.grad.data
        losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.05


@pytest.mark.parametrize(
    "loss",
    [F.mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits],
)
def test_targets_keep_the_digits_of_the_model(loss: Callable[..., Tensor]) -> None:
    x, target = np.array([0.3, 0.9]), np.array([0.1, 0.7])
    exact = loss(Tensor(x, "float64"), Tensor(target, "float64")).item()
    assert loss(Tensor(x, "float64"), target).item() == exact
    assert loss(x, Tensor(target, "float64")).item() == exact
    assert loss(Tensor(x, "float64"), [1, 0]).dtype == np.float64
    assert loss(Tensor([0, 1]), [0.25, 0.75]).item() != loss(Tensor([0, 1]), [0, 0]).item()


def test_weights_of_binary_losses_may_be_lists_and_keep_the_digits_of_the_model() -> None:
    x, target = Tensor([0.3, 0.9], "float64"), [1.0, 0.0]
    for name in ("weight", "pos_weight"):
        found = F.binary_cross_entropy_with_logits(x, target, **{name: [0.1, 0.7]})
        assert found.item() == F.binary_cross_entropy_with_logits(x, target, **{name: np.array([0.1, 0.7])}).item()
        assert (
            found.item()
            == F.binary_cross_entropy_with_logits(x, target, **{name: Tensor([0.1, 0.7], "float64")}).item()
        )


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_norms_over_several_axes_are_norms_over_these_axes_joined(norm: Any) -> None:
    x = randn(2, 5, 3, 4, dtype="float64")
    several, joined = norm((3, 4), dtype="float64"), norm(12, dtype="float64")
    assert several.weight.shape == (3, 4)
    several.weight.data[:] = np.arange(12).reshape(3, 4)
    joined.weight.data[:] = np.arange(12)
    np.testing.assert_array_equal(several(x).data, joined(x.reshape(2, 5, 12)).data.reshape(x.shape))
    several(x).sum().backward()
    assert several.weight.grad.shape == (3, 4)
    assert repr(several).startswith(f"{norm.__name__}((3, 4))")
    assert norm([4]).features == 4


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_norms_without_weights_normalize_and_still_check_their_size(norm: Any) -> None:
    plain = norm(4, elementwise_affine=False)
    assert plain.parameters() == []
    x = randn(3, 4)
    np.testing.assert_array_equal(plain(x).data, norm(4)(x).data)
    with pytest.raises(ValueError, match=r"x of shape \(3, 5\) for features 4"):
        plain(randn(3, 5))
    assert repr(plain) == f"{norm.__name__}(4, elementwise_affine=False)"


def test_a_layer_norm_without_bias_says_so() -> None:
    norm = nn.LayerNorm(3, bias=False)
    assert norm.bias is None
    assert repr(norm) == "LayerNorm(3, bias=False)  3 parameters"


WRONG: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("too few features", lambda: nn.Linear(3, 2)(zeros(4, 5)), ValueError, r"x of shape \(4, 5\) for 3 input features"),
    # (4, 6) has the numbers of eight rows of three: reshaped in silence it would give a wrong answer
    ("a multiple", lambda: nn.Linear(3, 2)(zeros(2, 4, 6)), ValueError, "the last axis must have that size"),
    ("a number", lambda: nn.Linear(3, 2)(1.0), ValueError, r"x of shape \(\) for 3 input features"),
    ("other features of no rows", lambda: nn.Linear(3, 2)(zeros(0, 2, 5)), ValueError, "the last axis must have that"),
    ("text", lambda: nn.Linear(3, 2)("x"), TypeError, "numbers or booleans"),
    ("bias", lambda: F.linear(zeros(2, 3), zeros(3, 2), zeros(3)), ValueError, r"bias of shape \(3,\)"),
    ("weight", lambda: F.linear(zeros(2, 3), zeros(3)), ValueError, "must be .in_features, out_features."),
    ("no features", lambda: nn.Linear(0, 2), ValueError, "in_features is 0; it must be an int, at least 1"),
    ("half a feature", lambda: nn.Linear(2, 2.5), TypeError, "out_features is 2.5; it must be an int"),  # type: ignore[arg-type]
    ("norm", lambda: nn.LayerNorm(3)(zeros(2, 4)), ValueError, r"weight of shape \(3,\) for x of shape \(2, 4\)"),
    ("rms norm", lambda: nn.RMSNorm(3)(zeros(2, 4)), ValueError, r"rms_norm: weight of shape \(3,\)"),
    ("norm of a number", lambda: F.layer_norm(1.0), ValueError, "must be a last axis"),
    ("norm of no axis", lambda: nn.LayerNorm(()), ValueError, "must be an axis"),
    ("norm of other axes", lambda: nn.LayerNorm((3, 4))(zeros(4, 3)), ValueError, r"features \(3, 4\)"),
    ("eps as text", lambda: nn.RMSNorm(3, eps="x"), TypeError, "eps is 'x', a str"),  # type: ignore[arg-type]
    ("negative eps", lambda: nn.LayerNorm(3, eps=-1.0), ValueError, "eps is -1.0"),
    ("no rows", lambda: nn.Embedding(0, 2), ValueError, "num_embeddings is 0; it must be an int, at least 1"),
    ("no columns", lambda: nn.Embedding(3, 0), ValueError, "embedding_dim is 0; it must be an int, at least 1"),
    ("float index", lambda: nn.Embedding(3, 2)(zeros(2)), TypeError, "indices of dtype float32"),
    ("index beyond", lambda: nn.Embedding(3, 2)([0, 3]), IndexError, "index 3 in a table of 3 rows"),
    ("negative index", lambda: nn.Embedding(3, 2)([-1, 0]), IndexError, "index -1 in a table of 3 rows"),
    ("padding row", lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx is 3"),
    ("half a padding row", lambda: nn.Embedding(3, 2, padding_idx=1.5), TypeError, "must be an int"),  # type: ignore[arg-type]
    ("padding row beyond", lambda: F.embedding(zeros(3, 2), [0], padding_idx=-1), ValueError, "row from 0 to 2"),
    ("table", lambda: F.embedding(zeros(3), [0]), ValueError, r"weight of shape \(3,\)"),
    ("probability", lambda: nn.Dropout(1.5), ValueError, "p is 1.5"),
    ("probability as text", lambda: nn.Dropout("x"), TypeError, "p is 'x', a str"),  # type: ignore[arg-type]
    ("dropout of integers", lambda: F.dropout(Tensor([1, 2])), TypeError, "dtype int64"),
    ("approximation", lambda: nn.GELU("sigmoid"), ValueError, "'none' .exact. or 'tanh'"),
    ("axis", lambda: nn.Softmax(axis=2)(zeros(2, 2)), IndexError, r"softmax: axis 2 of shape \(2, 2\)"),
    ("axis as text", lambda: F.log_softmax(zeros(2), axis="x"), TypeError, "axis is 'x'; it must be an int"),
    ("float targets", lambda: F.cross_entropy(zeros(2, 3), zeros(2)), TypeError, "dtype float32 for scores of shape"),
    ("target beyond", lambda: F.cross_entropy(zeros(2, 3), [1, 3]), IndexError, "target 3 for 3 classes"),
    ("negative target", lambda: F.nll_loss(zeros(2, 3), [-1, -100]), IndexError, "target -1 for 3 classes"),
    ("targets", lambda: F.cross_entropy(zeros(2, 3), [1]), ValueError, r"targets of shape \(1,\)"),
    ("other layout", lambda: F.cross_entropy(zeros(2, 3, 4), zeros(2, 4).astype(int)), ValueError, "pass axis=1"),
    ("class weights", lambda: F.cross_entropy(zeros(1, 3), [0], weight=[1.0]), ValueError, "for 3 classes"),
    ("smoothing", lambda: F.cross_entropy(zeros(1, 3), [0], label_smoothing=2.0), ValueError, "between 0 and 1"),
    ("class axis", lambda: F.cross_entropy(zeros(1, 3), [0], axis=4), IndexError, "axis 4 of shape"),
    ("no classes", lambda: F.cross_entropy(zeros(2, 0), [0, 0]), ValueError, "a score for each class"),
    ("reduction", lambda: nn.MSELoss("average"), ValueError, "'mean', 'sum' or 'none'"),  # type: ignore[arg-type]
    ("pairs", lambda: F.mse_loss(zeros(2, 1), zeros(2)), ValueError, r"shape \(2, 1\) and target of shape \(2,\)"),
    ("no probability", lambda: F.binary_cross_entropy(zeros(2) - 1, zeros(2)), ValueError, "must be probabilities"),
    ("delta", lambda: F.huber_loss(zeros(2), zeros(2), delta=0.0), ValueError, "delta is 0.0"),
    ("delta of the module", lambda: nn.HuberLoss(delta=-1.0), ValueError, "HuberLoss: delta is -1.0"),
    (
        "weights of more shape",
        lambda: F.binary_cross_entropy_with_logits(zeros(3), zeros(3), weight=zeros(2, 3)),
        ValueError,
        "must broadcast to their shape",
    ),
    ("dropout's generator", lambda: F.dropout(ones(2), generator=0), TypeError, "dropout: generator is a int"),
    ("layer's generator", lambda: nn.Linear(1, 1, generator=0), TypeError, "initializer: generator is a int"),
    ("part", lambda: nn.Sequential(nn.Linear(1, 1), abs), TypeError, "must be a Module"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("wrong", "kind", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_misuse_is_explained(wrong: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as error:
        wrong()
    assert len(str(error.value).splitlines()) <= 2


def test_a_huber_loss_pulls_alike_from_however_far() -> None:
    x = Tensor([np.inf, -1e30, 300.0, 1.0, 0.5, 0.0], requires_grad=True)
    loss = F.huber_loss(x, zeros(6), "none")
    assert loss.tolist() == [np.inf, np.float32(1e30), 299.5, 0.5, 0.125, 0.0]
    loss.sum().backward()
    assert x.grad.tolist() == [1.0, -1.0, 1.0, 1.0, 0.5, 0.0]


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_a_norm_whose_weight_is_taken_away_goes_on_without(norm: Any) -> None:
    layer, x = norm(4), randn(2, 4)
    layer.weight = layer.bias = None
    np.testing.assert_array_equal(layer(x).data, norm(4, elementwise_affine=False)(x).data)


PROBABILITIES = np.full((3, 4), 0.25)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, w: F.cross_entropy(x, [0, 1, 3], weight=w),
        lambda x, w: F.cross_entropy(x, [0, 1, 3], weight=w, label_smoothing=0.1),
        lambda x, w: F.cross_entropy(x, PROBABILITIES, weight=w),
        lambda x, w: F.nll_loss(x, [0, 1, 3], weight=w),
    ],
)
@pytest.mark.parametrize("kind", [np.array, Tensor])
def test_a_weight_that_is_changed_later_does_not_reach_the_loss(loss: Any, kind: Any) -> None:
    x = Tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    expected = grad(loss(x, kind([1.0, 2.0, 3.0, 4.0])), x)
    weight = kind([1.0, 2.0, 3.0, 4.0])
    value = loss(x, weight)
    weight[:] = 50.0
    np.testing.assert_array_equal(grad(value, x).data, expected.data)
    with pytest.raises(ValueError, match="weight requires gradients"):
        loss(x, Tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True))
    with no_grad():
        loss(x, Tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True))


def test_dropout_of_everything_gives_zeros_and_no_gradient() -> None:
    x = Tensor([1.0, -2.0], requires_grad=True)
    out = nn.Dropout(1.0)(x)
    out.sum().backward()
    assert out.data.tolist() == [0.0, 0.0]
    assert x.grad is not None
    assert x.grad.data.tolist() == [0.0, 0.0]
    assert nn.Dropout(1.0).eval()(x).data.tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (
            lambda: nn.LayerNorm(normalized_shape=3),
            r"LayerNorm: normalized_shape is called features here; the form is LayerNorm\(features, eps",
        ),
        (lambda: nn.Embedding(vocab_size=3, embedding_dim=2), "vocab_size is called num_embeddings here"),
        (lambda: nn.Softmax(dim=1), "Softmax: dim is called axis here"),
        (lambda: nn.ReLU(inplace=True), r"nothing changes its input, leave it out; the form is ReLU\(\)"),
        (lambda: nn.Linear(1, 1, device="cpu"), "there is one device"),
    ],
)
def test_words_of_pytorch_are_answered_with_ours(wrong: Callable[[], Any], answer: str) -> None:
    with pytest.raises(TypeError, match=answer):
        wrong()


def test_a_module_without_arguments_refuses_them() -> None:
    for wrong in (lambda: nn.ReLU(5), lambda: nn.ReLU(slope=5)):  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"__init__\(\)"):
            wrong()


def test_a_module_may_take_such_a_word_itself() -> None:
    class Own(nn.Module):
        def __init__(self, dim: int, **options: Any) -> None:
            self.dim, self.options = dim, options

    assert Own(dim=3, device="cpu").options == {"device": "cpu"}

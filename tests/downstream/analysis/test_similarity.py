import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream.analysis.similarity import layer_similarity, linear_cka


def features(seed: int, *widths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(40, width, generator=generator, dtype=torch.double) for width in widths]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_cka_is_the_cosine_of_centred_gram_matrices(seed: int, first: int, second: int) -> None:
    x, y = features(seed, first, second)
    centre = torch.eye(40, dtype=torch.double) - 1 / 40
    k, m = (centre @ part @ part.T @ centre for part in (x, y))
    assert linear_cka(x, y) == pytest.approx(float((k * m).sum() / (k.norm() * m.norm())))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_rotation_scale_and_shift_do_not_change_cka(seed: int, scale: float) -> None:
    x, y, square = features(seed, 8, 5, 8)
    rotation = torch.linalg.qr(square[:8]).Q
    assert linear_cka(scale * x @ rotation + 3, y) == pytest.approx(linear_cka(x, y))
    assert linear_cka(x, scale * x @ rotation) == pytest.approx(1)


def test_constant_features_are_like_nothing() -> None:
    (x,) = features(0, 4)
    assert linear_cka(x, torch.ones(40, 3)) == 0


def test_layers_of_the_first_are_rows() -> None:
    x, y, z = features(0, 6, 6, 4)
    found = layer_similarity([x, y], [x, y, z])
    assert found.shape == (2, 3)
    assert found[0, 0] == pytest.approx(1) and found[1, 1] == pytest.approx(1)
    assert found[0, 1] == pytest.approx(found[1, 0]) and found[0, 1] < 0.6

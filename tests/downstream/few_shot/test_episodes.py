import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream.few_shot.episodes import classified, distinct, draw, draw_apart
from downstream.outcomes import Episodes
from downstream.statistics import over_episodes
from mae_core import UserError


def blobs(
    spread: float, per_class: int = 20, classes: int = 6
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(classes).repeat_interleave(per_class)
    return torch.eye(classes)[y] + spread * torch.randn(len(y), classes, generator=generator), y


def centroid(*args: int, spread: float = 1.0, episodes: int = 100) -> torch.Tensor:
    ways, shots, queries, seed = args
    found = classified(*blobs(spread), ways, shots, queries, episodes, ["centroid"], seed)
    return torch.from_numpy(found["centroid"].correct).float().mean(dim=(1, 2))


def test_separated_classes_are_always_right_and_noise_is_at_chance() -> None:
    assert (centroid(5, 1, 15, 0, spread=0.01) == 1).all()
    y = blobs(1.0)[1]
    noise = torch.randn(len(y), 16, generator=torch.Generator().manual_seed(0))
    found = classified(noise, y, 5, 5, 15, 300, ["centroid", "logistic", "ridge"], 0)
    for episodes in found.values():
        assert abs(episodes.correct.mean() - 0.2) < 0.03


@settings(max_examples=25, deadline=None)
@given(ways=st.integers(2, 6), shots=st.integers(1, 5), seed=st.integers(0, 1000))
def test_an_episode_is_a_share_and_repeats(ways: int, shots: int, seed: int) -> None:
    first, second = (centroid(ways, shots, 10, seed, episodes=4) for _ in range(2))
    assert torch.equal(first, second)
    assert ((first >= 0) & (first <= 1)).all()


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(4, 12), min_size=3, max_size=6),
    each=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_no_image_is_drawn_twice_and_each_is_of_its_class(
    counts: list[int], each: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    drawn = draw(labels, 3, each, 20, np.random.default_rng(seed))
    assert drawn.shape == (20, 3, each)
    for episode in drawn:
        assert len(np.unique(episode)) == 3 * each
        classes = labels[episode]
        assert (classes == classes[:, :1]).all() and len(np.unique(classes[:, 0])) == 3


def test_all_images_are_drawn_equally_often() -> None:
    labels = np.repeat(np.arange(4), [5, 10, 5, 10])
    drawn = draw(labels, 2, 3, 20000, np.random.default_rng(0))
    share = np.bincount(drawn.ravel(), minlength=30) / 20000
    expected = np.repeat([0.5 * 3 / 5, 0.5 * 3 / 10] * 2, [5, 10, 5, 10])
    np.testing.assert_allclose(share, expected, atol=0.015)


def test_any_numbers_come_in_any_order() -> None:
    found = distinct(np.full(60_000, 4), 3, np.random.default_rng(0))
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 24  # ordered choices of 3 in 4
    np.testing.assert_allclose(counts, 2500, rtol=0.1)


def test_the_episodes_do_not_depend_on_the_width() -> None:
    x, y = blobs(1.0)
    wide = torch.nn.functional.pad(x, (0, 20_000))
    one, other = (classified(f, y, 3, 1, 9, 30, ["centroid"], 0)["centroid"] for f in (x, wide))
    assert np.array_equal(one.correct, other.correct) and one.same_draw(other)


def test_what_is_told_of_a_query_is_of_its_image() -> None:
    """One episode, classified here by hand."""
    x, y = blobs(0.8)
    found = classified(x, y, 4, 2, 5, 3, ["centroid"], 0)["centroid"]
    unit = torch.nn.functional.normalize(x)
    for correct, images, classes in zip(found.correct, found.images, found.classes, strict=True):
        assert (y.numpy()[images] == classes[:, None]).all()
        centroids = unit[images[:, :2]].mean(dim=1)
        cosine = torch.cosine_similarity(unit[images[:, 2:]][:, :, None], centroids, dim=-1)
        assert np.array_equal(classes[cosine.argmax(-1)] == classes[:, None], correct)


def test_too_few_classes_or_images_are_the_users_mistake() -> None:
    with pytest.raises(UserError, match="7 classes, found 6"):
        centroid(7, 1, 15, 0)
    with pytest.raises(UserError, match=r"20 images.*6 shots \+ 15 queries"):
        centroid(5, 6, 15, 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), shots=st.integers(1, 3), crossing=st.booleans())
def test_shots_and_queries_are_of_other_groups(seed: int, shots: int, crossing: bool) -> None:
    labels = np.repeat(np.arange(4), 30)
    groups = np.arange(120) % 8 if crossing else np.arange(120) // 5
    rng = np.random.default_rng(seed)
    images = draw_apart(labels, groups, 3, shots, 5, 6, rng)
    for episode in images:
        assert len(set(episode.ravel())) == episode.size
        assert (labels[episode] == labels[episode][:, :1]).all()
        assert len(set(labels[episode[:, 0]])) == 3
        assert not set(groups[episode[:, :shots]].ravel()) & set(groups[episode[:, shots:]].ravel())


def test_too_few_groups_for_an_episode_are_told() -> None:
    labels = np.repeat(np.arange(2), 10)
    with pytest.raises(UserError, match=r"of other groups, which 2 groups do not give"):
        draw_apart(labels, labels, 2, 1, 3, 1, np.random.default_rng(0))


def test_episodes_over_groups_are_less_sure_than_over_images() -> None:
    x, y = blobs(0.3, per_class=40)
    groups = torch.arange(len(y)) // 10
    hard = torch.randn(len(groups.unique()), x.shape[1], generator=torch.manual_seed(0))
    x = x + 0.6 * hard[groups]
    found = classified(x, y, 5, 1, 5, 200, ["centroid"], 0, groups=groups.numpy())["centroid"]
    alone = Episodes(found.correct, found.images, found.classes)
    over = over_episodes(found).ci95, over_episodes(alone).ci95
    assert over[0] is not None and over[1] is not None and over[0] > over[1]

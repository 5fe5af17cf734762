"""Episodes use images over and over: whether intervals know it."""

import numpy as np
import pytest
import torch

from downstream.crossed import class_means, layout_of
from downstream.few_shot.episodes import classified, draw, draw_apart
from downstream.outcomes import Episodes, Repeated
from downstream.statistics import compare, mean, over_episodes, over_repeated
from mae_core import create_encoder

TRUTH, ROUNDS = 0.6, 500  # the standard error of a coverage of 95 % is 1 point
CLASSES, EACH = 10, 100


def planted(
    rng: np.random.Generator,
    shots: int,
    image: float = 0.0,
    support: float = 0.0,
    of_class: float = 0.0,
    seed: int | None = None,
) -> Episodes:
    """300 episodes of 5 ways, of images that are harder or help less than others by nature.

    Args:
        rng: of images and answers.
        shots: of each class.
        image: deviation of a query's chance to be right over images.
        support: deviation of what a whole support adds to that chance.
        of_class: deviation of that chance over classes, which are new ones then.
        seed: of the draw, for the same episodes again.
    """
    labels = np.repeat(np.arange(CLASSES), EACH)
    own = image * rng.standard_normal(len(labels))
    helps = support * rng.standard_normal(len(labels)) / (5 * shots) ** 0.5
    hard = of_class * rng.standard_normal(CLASSES)
    images = draw(labels, 5, shots + 15, 300, rng if seed is None else np.random.default_rng(seed))
    classes = labels[images[..., 0]]
    chance = TRUTH + own[images[..., shots:]] + hard[classes][..., None]
    chance += helps[images[..., :shots]].sum(axis=(1, 2))[:, None, None]
    return Episodes(rng.random(chance.shape) < chance, images, classes, of_class > 0)


@pytest.mark.parametrize(
    ("shots", "effects"),
    [
        (1, {"image": 0.15}),
        (1, {"image": 0.15, "support": 0.1}),
        (5, {"image": 0.1, "support": 0.08}),
        (1, {"image": 0.1, "of_class": 0.08}),
    ],
)
def test_intervals_cover_other_images_where_plain_ones_do_not(
    shots: int, effects: dict[str, float]
) -> None:
    rng = np.random.default_rng(1)
    covered, plain = [], []
    for _ in range(ROUNDS):
        episodes = planted(rng, shots, **effects)
        found, simple = over_episodes(episodes), mean(episodes.correct.mean(axis=(1, 2)))
        assert found.ci95 is not None and simple.ci95 is not None
        assert found.value == pytest.approx(simple.value)
        covered.append(abs(found.value - TRUTH) <= found.ci95)
        plain.append(abs(found.value - TRUTH) <= simple.ci95)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(plain) < 0.9


def test_without_such_effects_the_interval_is_hardly_wider() -> None:
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(100):
        episodes = planted(rng, 5)
        plain = mean(episodes.correct.mean(axis=(1, 2))).ci95
        ratios.append((over_episodes(episodes).ci95 or 0) / (plain or 1))
    assert min(ratios) >= 1 - 1e-9 and np.mean(ratios) < 1.2


def test_equal_encoders_are_told_apart_in_5_percent() -> None:
    """Two encoders, each with images of its own liking, tested on the same episodes."""
    rng = np.random.default_rng(2)
    apart, plain = [], []
    for number in range(ROUNDS // 2):
        one, other = (planted(rng, 5, image=0.1, support=0.08, seed=number) for _ in range(2))
        apart.append(compare(one, other).verdict != "no difference shown")
        plain.append(compare(*(e.correct.mean(axis=(1, 2)) for e in (one, other))).p < 0.05)
    assert 0.03 <= np.mean(apart) <= 0.07
    assert np.mean(plain) > 0.2


def test_real_episodes_are_covered_for_other_images() -> None:
    """Centroids of noisy clusters: the truth is of ten thousand other images."""
    generator = torch.Generator().manual_seed(0)
    means = 0.6 * torch.randn(CLASSES, 16, generator=generator)

    def episodes(each: int, count: int, seed: int) -> Episodes:
        y = torch.arange(CLASSES).repeat_interleave(each)
        x = means[y] + torch.randn(len(y), 16, generator=generator)
        return classified(x, y, 5, 1, 15, count, ["centroid"], seed)["centroid"]

    truth = episodes(1000, 10_000, 0).correct.mean()
    rows = [over_episodes(found) for found in (episodes(80, 200, s) for s in range(300))]
    covered = np.mean([abs(m.value - truth) <= (m.ci95 or 0) for m in rows])
    assert covered == pytest.approx(0.95, abs=0.025)


def test_the_sum_over_pairs_is_that_of_a_loop() -> None:
    """With many images the corrections for a class's size vanish: then by the definition."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 4000)
    images = draw(labels, 3, 3, 8, rng)
    images[1], images[5, 0, 2] = images[0][:, [1, 2, 0]], images[2, 0, 0]
    drawn = Episodes(rng.random((8, 3, 2)) < 0.5, images, labels[images[..., 0]])
    rest = drawn.correct - drawn.correct.mean()
    own = (rest - class_means(rest.mean(axis=2), drawn.classes)[..., None]) / rest.size
    whole = np.repeat(rest.mean(axis=(1, 2))[:, None], 3, axis=1)
    whole = (whole - class_means(whole, drawn.classes)) / 8
    parts: dict[int, list[tuple[int, float]]] = {}
    for e, ways in enumerate(images):
        for way, row in enumerate(ways):
            for place, image in enumerate(row):
                value = whole[e, way] if place == 0 else own[e, way, place - 1]
                parts.setdefault(int(image), []).append((e, float(value)))
    pairs = sum(
        a * b for uses in parts.values() for e, a in uses for other, b in uses if e != other
    )
    alone = (rest.mean(axis=(1, 2)) ** 2).sum() / (8 * 7)
    layout = layout_of(drawn.correct.astype(float), drawn)
    assert abs(pairs) > 1e-6
    assert layout.error**2 == pytest.approx(alone + max(pairs, 0), rel=0.15)


def test_two_random_encoders_differ_less_surely_than_it_seemed() -> None:
    """A/A on features of real encoders that differ in their seed alone."""
    rng = np.random.default_rng(0)
    y = torch.arange(6).repeat_interleave(60)
    patterns = rng.normal(size=(6, 3, 12, 12))
    pixels = patterns[y.numpy()] + 2.5 * rng.normal(size=(len(y), 3, 12, 12))
    inputs = torch.from_numpy(pixels.astype(np.float32))
    found = []
    for seed in range(6):
        torch.manual_seed(seed)
        encoder = create_encoder(
            arch="vit-micro-p6", img_size=12, width=16, depth=2, heads=2
        ).eval()
        with torch.inference_mode():
            x = encoder(inputs)[:, 1:].mean(dim=1)
        found.append(classified(x, y, 5, 5, 15, 600, ["centroid"], 0)["centroid"])
    pairs = [(a, b) for i, a in enumerate(found) for b in found[:i]]
    clustered = sum(compare(a, b).p < 0.05 for a, b in pairs)
    plain = sum(compare(*(e.correct.mean(axis=(1, 2)) for e in pair)).p < 0.05 for pair in pairs)
    assert clustered < plain


def test_other_episodes_are_not_paired() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="other episodes"):
        compare(planted(rng, 1), planted(rng, 1))
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(planted(rng, 1), np.zeros((300, 5, 15)))


def test_an_encoder_does_not_differ_from_itself() -> None:
    episodes = planted(np.random.default_rng(0), 1, image=0.1)
    found = compare(episodes, episodes)
    assert (found.difference, found.p, found.verdict) == (0, 1, "no difference shown")


def test_runs_with_other_episodes_are_joined_and_paired_run_by_run() -> None:
    """Two rows of three trainings each, on the same images; each seed has its own episodes."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(CLASSES), EACH)
    covered, shown = [], []
    for _ in range(60):
        hard = 0.1 * rng.standard_normal(len(labels))  # images, the same for all
        rows = []
        for _ in range(2):
            runs = []
            for seed in range(3):
                images = draw(labels, 5, 16, 100, np.random.default_rng(seed))
                chance = TRUTH + 0.02 * rng.standard_normal() + hard[images[..., 1:]]
                correct = rng.random(chance.shape) < chance
                runs.append(Episodes(correct, images, labels[images[..., 0]]))
            rows.append(Repeated(tuple(runs)))
        found = over_repeated(rows[0])
        covered.append(abs(found.value - TRUTH) <= found.ci95)
        shown.append(compare(*rows).verdict != "no difference shown")
    assert np.mean(covered) > 0.9 and np.mean(shown) < 0.12
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(rows[0], Repeated(rows[1].runs[::-1]))


def test_intervals_over_groups_cover_what_those_over_images_do_not() -> None:
    """Groups make queries hard, and shots good or bad."""
    rng = np.random.default_rng(0)
    groups, labels = np.arange(400) // 10, np.arange(400) // 80
    images = draw_apart(labels, groups, 5, 1, 5, 150, rng)
    covered = np.zeros(2)
    for _ in range(150):
        hard, good = rng.normal(0, 0.2, 40), rng.normal(0, 0.2, 40)
        chance = 0.5 + hard[groups[images[..., 1:]]] + good[groups[images[..., :1]]]
        correct = rng.random(chance.shape) < chance.clip(0, 1)
        for place, known in enumerate((groups, None)):
            found = over_episodes(Episodes(correct, images, labels[images[..., 0]], groups=known))
            assert found.ci95 is not None
            covered[place] += abs(found.value - 0.5) <= found.ci95
    over_groups, over_images = covered / 150
    assert over_groups > 0.88 and over_images < 0.7

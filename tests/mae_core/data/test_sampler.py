from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from mae_core.data.sampler import Draw, DrawSampler


def draws(
    images: int, epoch: int = 0, process: tuple[int, int] = (0, 1), **given: int
) -> list[Draw]:
    with patch("mae_core.data.sampler.get_dist_info", lambda: process):
        sampler = DrawSampler(range(images), seed=given.pop("seed", 0), **given)
    sampler.set_epoch(epoch)
    assert len(list(sampler)) == len(sampler)
    return list(sampler)


@given(images=st.integers(1, 50), epoch=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_an_epoch_visits_each_image_once_and_draws_anew(images: int, epoch: int, seed: int) -> None:
    now, later = (draws(images, e, seed=seed) for e in (epoch, epoch + 1))
    assert sorted(d.index for d in now) == list(range(images))
    assert draws(images, epoch, seed=seed) == now
    assert not {d.seed for d in now} & {d.seed for d in later}


@given(images=st.integers(8, 60), world=st.integers(1, 4), micro=st.integers(1, 2))
def test_processes_share_the_batches_of_one(images: int, world: int, micro: int) -> None:
    batch = world * micro
    alone = draws(images, multiple=batch)
    parts = [draws(images, process=(rank, world), multiple=batch) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    for number in range(len(alone) // batch):
        shared = [d for part in parts for d in part[number * micro : (number + 1) * micro]]
        expected = alone[number * batch : (number + 1) * batch]
        assert {d.seed for d in shared} == {d.seed for d in expected}


@given(images=st.integers(16, 60), world=st.integers(2, 4), pairs=st.integers(1, 2))
def test_neighbours_stay_in_one_process_and_its_batches(
    images: int, world: int, pairs: int
) -> None:
    batch = 2 * pairs * world
    alone = draws(images, multiple=batch, together=2)
    expected = set(zip(alone[::2], alone[1::2], strict=True))
    parts = [
        draws(images, process=(rank, world), multiple=batch, together=2) for rank in range(world)
    ]
    found = [pair for part in parts for pair in zip(part[::2], part[1::2], strict=True)]
    assert set(found) == expected and len(found) == len(expected)
    for number in range(len(alone) // batch):
        shared = [d for part in parts for d in part[number * 2 * pairs : (number + 1) * 2 * pairs]]
        assert set(shared) == set(alone[number * batch : (number + 1) * batch])


@given(count=st.integers(0, 25))
def test_what_a_resumed_run_has_behind_it_is_left_out_once(count: int) -> None:
    with patch("mae_core.data.sampler.get_dist_info", lambda: (1, 2)):
        sampler = DrawSampler(range(20))
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    sampler.set_epoch(0)
    sampler.skip(count)
    epoch, behind = divmod(count, 10)
    assert list(sampler) == epochs[epoch][behind:]
    assert list(sampler) == epochs[epoch]

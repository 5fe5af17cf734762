import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from downstream.segmentation.metric import Confusion, ious, resampled_miou
from downstream.statistics import resamples

CLASSES = 4


def samples(count: int = 6) -> list[dict]:
    """Predictions that are right about two times in three; class 3 never occurs."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(count):
        truth = torch.randint(0, 3, (1, 9, 7), generator=generator)
        guess = torch.randint(0, 3, (1, 9, 7), generator=generator)
        right = torch.rand(1, 9, 7, generator=generator) < 0.6
        truth[torch.rand(1, 9, 7, generator=generator) < 0.1] = 255
        prediction = torch.where(right & (truth != 255), truth, guess)
        entry = {"pred_sem_seg": {"data": prediction}, "gt_sem_seg": {"data": truth}}
        found.append({**entry, "img_path": "a.png"})
    return found


@pytest.mark.parametrize("classes", [3, CLASSES])
def test_the_numbers_are_those_of_mmseg(classes: int) -> None:
    ours, theirs = Confusion(classes), IoUMetric(iou_metrics=["mIoU"])
    theirs.dataset_meta = {"classes": [str(i) for i in range(classes)]}
    for batch in (samples()[:4], samples()[4:]):
        ours.process({}, batch)
        theirs.process({}, batch)
    found, expected = ours.evaluate(6), theirs.evaluate(6)
    assert 100 * found["mIoU"] == pytest.approx(expected["mIoU"], abs=0.01)
    assert 100 * found["class_accuracy"] == pytest.approx(expected["mAcc"], abs=0.01)
    assert 100 * found["pixel_accuracy"] == pytest.approx(expected["aAcc"], abs=0.01)


def test_resampled_values_are_those_of_the_resampled_images() -> None:
    metric = Confusion(CLASSES)
    metric.process({}, samples())
    whole = metric.evaluate(6)["mIoU"]
    found = resampled_miou(metric.counts, seed=3).values
    assert found[0] == pytest.approx(whole)
    for number, drawn in enumerate(resamples(6, 3)[:20], start=1):
        expected = np.nanmean(ious(metric.counts[drawn].sum(axis=0)))
        assert found[number] == pytest.approx(expected)


def test_a_class_that_does_not_occur_has_no_iou() -> None:
    counts = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    np.testing.assert_allclose(ious(counts), [3 / 4, 2 / 3, np.nan])

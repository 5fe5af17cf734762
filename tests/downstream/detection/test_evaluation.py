import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO as ReferenceCOCO
from pycocotools.cocoeval import COCOeval as ReferenceEval
from pycocotools.mask import encode

from downstream.detection.evaluation import KINDS, confusion, evaluate, load_annotations

SIDE = 200


def square(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    side = int(rng.choice([10, 50, 120]))  # small, medium, large
    top, left = rng.integers(0, SIDE - side, 2)
    mask[top : top + side, left : left + side] = 1
    return mask


def entry(mask: np.ndarray) -> dict[str, Any]:
    y, x = np.nonzero(mask)
    runs = encode(np.asfortranarray(mask))
    box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
    segmentation = {"size": [SIDE, SIDE], "counts": runs["counts"].decode()}
    return {"bbox": box, "segmentation": segmentation, "area": int(mask.sum())}


@pytest.fixture
def annotated(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Twelve images, three classes, one crowd; detections that are shifted, doubled, mistaken."""
    rng = np.random.default_rng(0)
    images = [{"id": i, "height": SIDE, "width": SIDE, "file_name": f"{i}"} for i in range(1, 13)]
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in images:
        for _ in range(rng.integers(1, 6)):
            mask, category = square(rng), int(rng.integers(1, 4))
            about = {"image_id": image["id"], "category_id": category}
            crowd = {"id": len(truth) + 1, "iscrowd": int(len(truth) == 3)}
            truth.append({**entry(mask), **about, **crowd})
            for _ in range(rng.integers(0, 3)):
                shifted = np.roll(mask, int(rng.integers(0, 5)), axis=1)
                if rng.random() < 0.2:
                    about = {**about, "category_id": int(rng.integers(1, 4))}
                found.append({**entry(shifted), **about, "score": float(rng.random())})
    categories = [{"id": i, "name": name} for i, name in enumerate("abc", start=1)]
    path = tmp_path / "truth.json"
    content = {"images": images, "annotations": truth, "categories": categories}
    path.write_text(json.dumps(content))
    for detection in found:
        del detection["area"]
    return path, found


def reference(path: Path, found: list[dict[str, Any]], kind: str, most: int) -> ReferenceEval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = ReferenceCOCO(str(path))
        drop = "bbox" if kind == "mask" else "segmentation"
        entries = [{k: v for k, v in d.items() if k != drop} for d in found]
        evaluator = ReferenceEval(truth, truth.loadRes(entries), KINDS[kind])
        evaluator.params.maxDets = [most]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("most", [100, 2])
def test_every_number_is_that_of_pycocotools(
    annotated: tuple[Path, list[dict[str, Any]]], kind: str, most: int
) -> None:
    path, detections = annotated
    found = evaluate(load_annotations(path), detections, kind, most, seed=0)
    expected = reference(path, detections, kind, most)
    precision = expected.eval["precision"][:, :, :, :, 0]  # thresholds, recalls, classes, sizes

    def mean(values: np.ndarray) -> float:
        return float(values[values > -1].mean())

    for name, values in {
        "AP": precision[:, :, :, 0],
        "AP50": precision[0, :, :, 0],
        "AP75": precision[5, :, :, 0],
        "AP_small": precision[:, :, :, 1],
        "AP_medium": precision[:, :, :, 2],
        "AP_large": precision[:, :, :, 3],
    }.items():
        assert found.metrics[name] == pytest.approx(mean(values)), name
    for label, name in enumerate("abc"):
        assert found.by_class[name]["AP"] == pytest.approx(mean(precision[:, :, label, 0]))
        np.testing.assert_allclose(found.precision[label], precision[0, :, label, 0])


def test_resamples_vary_around_the_value_and_are_the_same_again(
    annotated: tuple[Path, list[dict[str, Any]]],
) -> None:
    path, detections = annotated
    first, second = (evaluate(load_annotations(path), detections, "box", 100, 0) for _ in "ab")
    drawn = first.resampled["AP50"]
    assert np.array_equal(drawn, second.resampled["AP50"])
    assert drawn.std() > 0.01
    assert drawn.min() < first.metrics["AP50"] < drawn.max()


def test_a_resample_of_all_images_once_is_the_value(
    annotated: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(cases: int, seed: int) -> np.ndarray:
        return np.arange(cases)[None]

    monkeypatch.setattr("downstream.detection.evaluation.resamples", once)
    path, detections = annotated
    found = evaluate(load_annotations(path), detections, "mask", 100, 0)
    for name in ("AP", "AP50"):
        assert found.resampled[name] == pytest.approx([found.metrics[name]])


def test_nothing_found_is_zero(annotated: tuple[Path, list[dict[str, Any]]]) -> None:
    found = evaluate(load_annotations(annotated[0]), [], "box", 100, 0)
    assert found.metrics["AP"] == 0 and found.by_class["a"] == {"AP": 0, "AP50": 0}
    assert (found.resampled["AP"] == 0).all() and (found.precision == 0).all()


def test_confusion_counts_right_wrong_missed_and_made_up(tmp_path: Path) -> None:
    masks = [np.zeros((SIDE, SIDE), np.uint8) for _ in range(4)]
    for i, mask in enumerate(masks):
        mask[50 * i : 50 * i + 40, :40] = 1
    about = [{"image_id": 1, "category_id": c} for c in (1, 1, 2)]
    truth = [
        {**entry(m), **a, "id": i, "iscrowd": 0}
        for i, (m, a) in enumerate(zip(masks[:3], about, strict=True), start=1)
    ]
    found = [
        {**entry(masks[0]), "image_id": 1, "category_id": 1, "score": 0.9},  # right
        {**entry(masks[2]), "image_id": 1, "category_id": 1, "score": 0.9},  # wrong class
        {**entry(masks[3]), "image_id": 1, "category_id": 2, "score": 0.9},  # made up
        {**entry(masks[1]), "image_id": 1, "category_id": 1, "score": 0.1},  # not sure enough
    ]
    path = tmp_path / "truth.json"
    images = [{"id": 1, "height": SIDE, "width": SIDE, "file_name": "a"}]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    content = {"images": images, "annotations": truth, "categories": categories}
    path.write_text(json.dumps(content))
    annotations = load_annotations(path)
    expected = [[1, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert confusion(annotations, found, "mask", 0.3).tolist() == expected
    assert confusion(annotations, [], "mask", 0.3).tolist() == [[0, 0, 2], [0, 0, 1], [0, 0, 0]]


ORDERS = ([1, 2, 3], [2, 3, 1], [3, 2, 1])


@pytest.mark.parametrize("first_id", [0, 1, 10**12])
@pytest.mark.parametrize("order", ORDERS)
def test_perfect_detections_are_perfect_in_any_order_of_categories_and_ids(
    annotated: tuple[Path, list[dict[str, Any]]], order: list[int], first_id: int
) -> None:
    path, _ = annotated
    content = json.loads(path.read_text())
    content["categories"] = [{"id": i, "name": "abc"[i - 1]} for i in order]
    content["annotations"] = content["annotations"][::-1]
    for place, entry in enumerate(content["annotations"]):
        entry["id"] = first_id + place
    path.write_text(json.dumps(content))
    found = [
        {key: entry[key] for key in ("image_id", "category_id", "bbox", "segmentation")}
        | {"score": 0.9}
        for entry in content["annotations"]
        if not entry["iscrowd"] and entry["category_id"] != 3
    ]
    annotations = load_annotations(path)
    for kind in ("box", "mask"):
        by_class = evaluate(annotations, found, kind, 100, 0).by_class
        assert {name: values["AP"] for name, values in by_class.items()} == {
            "a": pytest.approx(1),
            "b": pytest.approx(1),
            "c": 0,
        }
    counts = confusion(annotations, found, "mask", 0.5)
    there = [sum(d["category_id"] == i for d in found) for i in (1, 2)]
    assert np.diag(counts)[:2].tolist() == there and counts[2, 3] == counts[2].sum() > 0

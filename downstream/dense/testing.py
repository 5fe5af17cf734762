"""Run a trained detector or segmentor over annotated images."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mae_core.data.shared_memory import workers_for
from mae_core.stage import Reporter


@torch.inference_mode()
def measure_images(
    model: BaseModel,
    dataset: BaseDataset,
    metric: BaseMetric,
    loader: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """What `metric` finds; several processes share the images.

    Args:
        model: of mm, with `test_step`.
        dataset: of mm, with annotations.
        metric: gets each batch.
        loader: `batch_size` and `num_workers`.
        reporter: gets progress.
    """
    order = {"type": "DefaultSampler", "shuffle": False}
    wanted = loader.get("num_workers", 0)
    if wanted and not workers_for(dataset, loader["batch_size"], wanted, reporter.note):
        loader = {"batch_size": loader["batch_size"], "num_workers": 0}
    batches = Runner.build_dataloader({**loader, "sampler": order, "dataset": dataset})
    metric.dataset_meta = dataset.metainfo
    model.eval()
    own, done = len(batches.sampler), 0
    for batch in batches:
        found = model.test_step(batch)
        metric.process(batch, [sample.to_dict() for sample in found])
        done += len(found)
        reporter.progress(done, own, "image")
    results: dict[str, Any] = metric.evaluate(len(dataset))
    return results

import torch

from downstream.classification.accuracy import Top1


def test_the_evaluator_counts_what_it_was_given() -> None:
    metric = Top1()
    metric.process(None, torch.tensor([True, False]))
    metric.process(None, torch.tensor([True, True]))
    assert metric.compute_metrics(metric.results) == {"top1": 0.75}

import torch

from downstream.classification.accuracy import Top1


def test_the_evaluator_counts_the_images_whose_highest_logit_is_of_their_class() -> None:
    metric = Top1()
    logits = torch.tensor([[2.0, 1.0], [0.5, 1.0]])
    metric.process({"label": torch.tensor([0, 0])}, logits)
    metric.process({"label": torch.tensor([0, 1])}, logits)
    assert metric.compute_metrics(metric.results) == {"top1": 0.75}

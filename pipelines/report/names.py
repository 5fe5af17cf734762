"""How the report names a metric, orders it and writes its value."""

import re

# The headline metrics in order, and the names people know them by.
COLUMNS = {
    "fine-tune/top1": "Fine-tuning, top-1",
    "linear-probe/top1": "Linear probe, top-1",
    "knn/top1": "kNN, top-1",
    "few-shot/5way1shot": "Few-shot, 5-way 1-shot",
    "few-shot/5way5shot": "Few-shot, 5-way 5-shot",
    "few-shot/10way1shot": "Few-shot, 10-way 1-shot",
    "few-shot/10way5shot": "Few-shot, 10-way 5-shot",
    "detect/box_AP": "Detection, box AP",
    "detect/box_AP50": "Detection, box AP50",
    "detect/mask_AP": "Instance segmentation, mask AP",
    "detect/mask_AP50": "Instance segmentation, mask AP50",
    "segment/mIoU": "Semantic segmentation, mIoU",
    "suite/mean": "Suite of data sets, mean top-1",
}
TASKS = (  # what comes before the slash, in order
    "supervise",
    "fine-tune",
    "partial-finetune",
    "low-shot",
    "linear-probe",
    "knn",
    "few-shot",
    "suite",
    "evaluate",
    "detect",
    "segment",
    "analyze",
)
METHODS = {"probe": "linear classifier", "finetune": "fine-tuned"}
SECONDARY = re.compile(
    r"(supervise|partial-finetune|analyze|suite)/|evaluate/c_|.*(_k\d+|_logistic|_ridge)$"
    r"|detect/.*_AP(75|_small|_medium|_large)$|segment/.*_"
)
MCE, LOSS = "evaluate/mCE", "pretrain/loss"


def metrics_of(stage: str, names: list[str]) -> list[str]:
    """Those among a run's metrics that are results of its stage, in no order."""
    task = "fine-tune" if stage == "finetune" else stage
    return [name for name in names if name.startswith(f"{task}/")]


def order(name: str) -> tuple[int, int, list[tuple[int, str]]]:
    """Key that sorts metrics: by task, the known ones first, numbers by size."""
    known = list(COLUMNS)
    rank = known.index(name) if name in known else len(known)
    parts = re.findall(r"\d+\.?\d*|\D+", name)
    natural = [(int(10 * float(p)), "") if p[0].isdigit() else (0, p) for p in parts]
    return TASKS.index(name.partition("/")[0]), rank, natural


def is_headline(name: str) -> bool:
    """Whether the metric belongs into the first table."""
    return name in COLUMNS or not SECONDARY.match(name)


def lower_is_better(name: str) -> bool:
    """Whether the metric is an error or a loss."""
    return name in (MCE, LOSS)


def is_share(name: str) -> bool:
    """Whether the metric is shown in percent, and compared."""
    return not name.startswith("analyze/")


def title(name: str) -> str:
    """What a reader calls the metric."""
    if name in COLUMNS:
        return COLUMNS[name]
    task, _, metric = name.partition("/")
    if task == "detect":
        kind, _, rest = metric.partition("_")
        what = {"box": "Detection", "mask": "Instance segmentation"}[kind]
        return f"{what}, {kind} {rest.replace('_', ', ')}"
    base, _, last = metric.rpartition("_")
    if task == "low-shot":
        return f"Few labels, {amount(base)}, {METHODS.get(last, last)}"
    if task == "partial-finetune":
        return f"Fine-tuning of the last {metric.removesuffix('blocks')} blocks, top-1"
    if f"{task}/{base}" in COLUMNS and task != "suite":
        return f"{COLUMNS[f'{task}/{base}']}, {re.sub('^k', 'k = ', last)}"
    return {
        "supervise": "Training from scratch, top-1",
        "suite": f"Suite, {metric.replace('mean_', 'mean of ')}",
        "evaluate": "Corruptions, mCE (lower is better)"
        if name == MCE
        else f"Tested on {re.sub('^c_', 'corruption ', metric)}",
        "few-shot": f"Few-shot, {episodes(metric)}",
        "segment": f"Semantic segmentation, {metric.replace('_', ' ')}",
        "analyze": f"Features, {metric.replace('_', ' ')} (a count, not percent)",
    }.get(task, f"{task}, {metric}".capitalize())


def episodes(metric: str) -> str:
    """'3way2shot_ridge' -> '3-way 2-shot, ridge'."""
    return metric.replace("way", "-way ").replace("shot", "-shot").replace("_", ", ")


def amount(name: str) -> str:
    """'1pct' -> '1 % of them', '2img' -> '2 images a class'; other names stay."""
    found = re.fullmatch(r"(\d+\.?\d*)(pct|img)", name)
    if not found:
        return name
    return f"{found[1]} % of them" if found[2] == "pct" else f"{found[1]} image(s) a class"


def number(name: str, value: float, ci95: float | None) -> str:
    """'87.3 ± 0.8' in percent, or the value itself where it is no share."""
    scale = 100 if is_share(name) else 1
    interval = "" if ci95 is None else f" ± {scale * ci95:.1f}"
    return f"{scale * value:.1f}{interval}"

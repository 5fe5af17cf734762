"""What everybody else must know of a stage, said once, beside the stage.

A module with `CARDS`, a tuple of :class:`Stage`, is listed in `pipelines/stages.py`, or named by an
installed package as an entry point of the group `mae_bench.stages`. It imports nothing heavy: the
command line's help reads all cards.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mae_core.stage import StageResult

SHARE = "share"
OF_DATA = "unit of the data"
PICTURE = ".png"
CASES = ("data_root", "val_data", "val_dataloader", "sets", "datasets")


@dataclass(frozen=True)
class MetricInfo:
    """A metric of a stage, or a family of them.

    Attributes:
        pattern: regular expression of the whole name below the task: 'top1', r'top1_k(\\d+)'.
        title: what a reader calls it; a template for :meth:`re.Match.expand`, such as r'k = \\1'.
        unit: 'share' for 0 to 1, which is shown in percent; :data:`OF_DATA` for that of each
            result, :attr:`mae_core.stage.Metric.unit`, which is shown behind the number; all else
            is shown as it is, with the unit behind the title.
        higher_is_better: None where no value is better than another: nothing is compared.
        headline: whether it belongs into the report's first table.
        digits: after the point; in a unit of the data there are as many as the interval allows.
    """

    pattern: str
    title: str
    unit: str = SHARE
    higher_is_better: bool | None = True
    headline: bool = True
    digits: int = 1

    def match(self, name: str) -> re.Match[str] | None:
        """Whether it is the metric `name`, without its task."""
        return re.fullmatch(self.pattern, name)

    @property
    def scale(self) -> int:
        """What a value is multiplied by to be shown."""
        return 100 if self.unit == SHARE else 1


def as_list(value: Any) -> Any:
    """A tuple as the list that stands for the same in a config; all else as it is."""
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Stage:
    """A stage's card.

    Attributes:
        name: of the command and in recipes: 'finetune'.
        help: what the command does, one sentence.
        module: has `run(config, encoder, work_dir, reporter) -> StageResult`.
        section: of the report, over its pictures.
        checks: the module with `check(config, encoder)`, where :attr:`module` imports more than
            that needs.
        task: what its metrics begin with, where that is not its name: 'fine-tune'.
        takes: what it needs; 'start' is an encoder to go on from, or none.
        makes: what its checkpoint is to other stages.
        needs: what it needs of an encoder that not every family has, names of
            :data:`mae_core.encoders.base.OFFERS`; a benchmark leaves cells of others out.
        frozen_with: keys of its config and values with which it needs nothing of them.
        from_scratch: whether it takes 'supervised', which are random weights with a recipe for
            them, the section `scratch` of its config.
        random_from_scratch: whether 'random' is trained by that recipe too, so that one cell
            stands for both rows.
        several_devices: whether several share it.
        whole_batch: whether it looks at the images of a batch together, so that their number on a
            device decides a result.
        cached_features: whether it needs no GPU once the features are in the cache.
        predict: the module with `predict(model, images, out)`, which asks its model about images.
        metrics: all that it yields, in the report's order.
        captions: of the pictures that it leaves, by name without suffix, in the report's order.
        cases: keys of its config that decide on which cases it is tested.
        keys: all that its config may have; any, where a card names none.
        inside: more of them, which only the files of configs use: nothing reads them later.
    """

    name: str
    help: str
    module: str
    section: str = ""
    checks: str = ""
    task: str = ""
    takes: Literal["nothing", "start", "encoder", "classifier"] = "encoder"
    makes: Literal["", "encoder", "classifier"] = ""
    needs: tuple[str, ...] = ()
    frozen_with: Mapping[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    random_from_scratch: bool = False
    several_devices: bool = False
    whole_batch: bool = False
    cached_features: bool = False
    predict: str = ""
    metrics: tuple[MetricInfo, ...] = ()
    captions: Mapping[str, str] = field(default_factory=dict)
    cases: tuple[str, ...] = CASES
    keys: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What its metrics' names begin with, before the slash."""
        return self.task or self.name

    def needs_for(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """What of :attr:`needs` it needs with a config."""
        if not self.frozen_with:
            return self.needs
        same = (as_list(config.get(key)) == as_list(v) for key, v in self.frozen_with.items())
        return () if all(same) else self.needs

    def metric(self, name: str) -> MetricInfo | None:
        """The first that is the metric `name`, such as 'knn/top1'; None if none is."""
        task, _, rest = name.partition("/")
        if task == self.prefix:
            for info in self.metrics:
                if info.match(rest):
                    return info
        return None

    def refuse_unknown(self, result: StageResult) -> None:
        """Raise LookupError if the card does not tell of a metric or a picture of a result."""
        unknown = [f"the metric '{name}'" for name in result.metrics if not self.metric(name)]
        for name, file in result.artifacts.items():
            if file.endswith(PICTURE) and name not in self.captions:
                unknown.append(f"the picture '{name}'")
        if unknown:
            raise LookupError(
                f"the stage '{self.name}' leaves {', '.join(unknown)}, of which its card does not "
                "tell: add it there, and run the same command again, which keeps what was trained"
            )

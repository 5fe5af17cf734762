"""The command line: `mae-bench run RECIPE` and every single stage."""

import pipelines.cli.early  # isort: skip  # noqa: F401  so that a signal during the others is heard

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mae_core.card import Stage
from mae_core.errors import UserError
from mae_core.notices import accept_any_name
from pipelines.cli.data import app as data_app
from pipelines.cli.encoders import app as encoders_app
from pipelines.cli.machine import app as machine_app
from pipelines.cli.outcome import USER_MISTAKE as USER_MISTAKE
from pipelines.cli.outcome import Commands, interruptible, outcome
from pipelines.cli.report import app as report_app
from pipelines.cli.weights import app as weights_app
from pipelines.environment import ENVIRONMENT
from pipelines.stages import stages
from pipelines.stopping import INTERRUPTED as INTERRUPTED
from pipelines.stopping import before_the_start, end_when_asked, is_command, raise_when_asked

if TYPE_CHECKING:
    from pipelines.cells.resources import Resources

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Is this masked-autoencoder pretraining worth it, and where does it transfer?",
)
app.add_typer(data_app, name="data")
app.add_typer(report_app)
app.add_typer(machine_app)
app.add_typer(encoders_app)
app.add_typer(weights_app)

Overrides = Annotated[
    list[str] | None,
    typer.Option("-o", "--override", metavar="KEY=VALUE", help="Change a key; may be repeated."),
]
Devices = Annotated[
    int | None,
    typer.Option(min=1, help="Processes, one a GPU. Without it: all GPUs, or one on CPUs."),
]
Encoder = Annotated[
    str,
    typer.Option(
        help="'random', a checkpoint's path, timm:<model>[@<file>], runs:/<run>, models:/<model>."
    ),
]
Nodes = Annotated[int, typer.Option(min=1, help="Machines that share the work.")]
Rendezvous = Annotated[str, typer.Option(help="host:port of the first machine.")]
Join = Annotated[
    bool, typer.Option("--join", help="Lend this machine to the one that runs the stage.")
]
RecipeName = Annotated[str, typer.Argument(help="A name under configs/benchmarks, or a path.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Compute everything again; results are set aside.")
]
AcceptCode = Annotated[
    bool,
    typer.Option("--accept-code", help="Go on with trainings that other code began; it is noted."),
]
Ray = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster to spread stages over.")
]
WorkDir = Annotated[Path | None, typer.Option(help="For all files; runs/<name> without it.")]


@app.command()
def run(
    recipe: RecipeName,
    work_dir: WorkDir = None,
    override: Overrides = None,
    devices: Devices = None,
    fresh: Fresh = False,
    ray: Ray = None,
    accept_code: AcceptCode = False,
) -> None:
    """Run a whole benchmark: pretrain, every task for every encoder, report."""
    from pipelines.recipes.recipe import handed_over, load_recipe

    checked = load_recipe(recipe, override or [])
    with before_the_start():
        from pipelines.service.flow import mae_full_benchmark
        from pipelines.service.server import check_server

    check_server()
    with interruptible(), handed_over(recipe, override or [], checked):
        folder = str(work_dir) if work_dir else None
        given: dict[str, Any] = {"fresh": fresh, "ray": ray, "accept_code": accept_code}
        mae_full_benchmark(recipe, folder, override or [], devices, strict=True, **given)


@app.command()
def deploy(
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Stages with a GPU at a time, over all runs; all GPUs, or 2."),
    ] = None,
    notify: Annotated[
        str | None,
        typer.Option(
            envvar="MAE_BENCH_NOTIFY", help="A webhook's address, told of failed benchmarks."
        ),
    ] = None,
) -> None:
    """Create work pool, slots and deployments on the Prefect server; may be called again."""
    from pipelines.cells.resources import visible_gpus
    from pipelines.service.deploy import deploy as deploy_all

    for line in deploy_all(slots or len(visible_gpus()) or 2, notify):
        print(line)
    print("next: mae-bench worker, on each machine that is to compute")


@app.command()
def worker(
    pool: Annotated[str, typer.Option(help="The work pool that it serves.")] = "mae-bench",
) -> None:
    """Run what is submitted to the Prefect server; when stopped, let it save its state first."""
    from pipelines.service.worker import work

    sys.exit(work(pool))


@app.command()
def submit(
    recipe: RecipeName,
    work_dir: WorkDir = None,
    override: Overrides = None,
    devices: Devices = None,
    fresh: Fresh = False,
    ray: Ray = None,
    accept_code: AcceptCode = False,
) -> None:
    """Hand a benchmark to a worker of the Prefect server, after `mae-bench deploy`."""
    from pipelines.service.submit import submit as submit_run

    given = {
        "work_dir": str(work_dir) if work_dir else None,
        "overrides": override,
        "devices": devices,
        "fresh": fresh,
        "ray": ray,
        "accept_code": accept_code,
    }
    print(submit_run(recipe, {key: value for key, value in given.items() if value}))


@app.command()
def plan(
    recipe: RecipeName,
    work_dir: WorkDir = None,
    override: Overrides = None,
    devices: Devices = None,
) -> None:
    """Show what a benchmark would run, reuse or resume, and how long that takes here."""
    from pipelines.cells.launch import stopping_on_error
    from pipelines.cells.warm import forking
    from pipelines.recipes.recipe import load_recipe

    with interruptible(), stopping_on_error(), forking():
        checked = load_recipe(recipe, override or [])
        from pipelines.recipes.plan import plan as show_plan

        show_plan(checked, work_dir, devices, Console(highlight=False))


@app.command()
def sweep(
    sweep: Annotated[str, typer.Argument(help="A name under configs/sweeps, or a path.")],
    work_dir: WorkDir = None,
    override: Overrides = None,
    devices: Devices = None,
) -> None:
    """Run a benchmark for many values of some keys, such as mask ratios, and draw the curves."""
    from mae_core.config import find_config

    find_config(sweep, "sweeps")
    with before_the_start():
        from pipelines.service.server import check_server
        from pipelines.sweep.flow import mae_sweep

    check_server()
    with interruptible():
        mae_sweep(sweep, str(work_dir) if work_dir else None, override or [], devices)


def stage_command(card: Stage) -> None:
    """Add the command of one stage."""

    def command(
        config: Annotated[
            str, typer.Argument(help="A name under configs/, a path, or runs:/<run>, as it ran.")
        ],
        encoder: Encoder = "random",
        work_dir: WorkDir = None,
        override: Overrides = None,
        devices: Devices = None,
        nodes: Nodes = 1,
        rendezvous: Rendezvous = "",
        join: Join = False,
        fresh: Fresh = False,
        accept_code: AcceptCode = False,
    ) -> None:
        check_config(config, override)
        machine = machine_of(devices, nodes, rendezvous)
        flags = {"fresh": fresh, "accept_code": accept_code}
        start_stage(card.name, config, encoder, work_dir, override, machine, join, flags)

    command.__doc__ = card.help
    app.command(card.name)(command)


def command_with_predict(card: Stage) -> None:
    """Add the command of a stage whose model can also be asked about images."""

    def command(
        config: Annotated[
            str, typer.Argument(help="A name under configs/, or a path; with --predict, a model.")
        ],
        images: Annotated[
            list[Path] | None, typer.Argument(help="Files for --predict.", metavar="[IMAGE]...")
        ] = None,
        encoder: Encoder = "",
        work_dir: WorkDir = None,
        override: Overrides = None,
        devices: Devices = None,
        nodes: Nodes = 1,
        rendezvous: Rendezvous = "",
        join: Join = False,
        fresh: Fresh = False,
        accept_code: AcceptCode = False,
        predict: Annotated[
            bool, typer.Option("--predict", help="Ask a trained model about images.")
        ] = False,
    ) -> None:
        if predict:
            predict_images(
                card.predict, Path(config), images or [], work_dir or Path("predictions")
            )
            return
        if images:
            raise UserError(f"'{images[0]}': images go with --predict")
        if not encoder:
            raise UserError(
                f"{card.name} needs --encoder: a checkpoint's path, timm:<model>, "
                "runs:/<MLflow run>, or 'random' for one that knows nothing"
            )
        check_config(config, override)
        machine = machine_of(devices, nodes, rendezvous)
        flags = {"fresh": fresh, "accept_code": accept_code}
        start_stage(card.name, config, encoder, work_dir, override, machine, join, flags)

    command.__doc__ = card.help
    app.command(card.name)(command)


def check_config(config: str, override: list[str] | None) -> None:
    """Raise UserError for a wrong name or key, before imports; the stage's check does the rest."""
    from mae_core.config import load_config
    from pipelines.recipes.reproduce import stored

    if not stored(config):
        load_config(config, overrides=override or [])


def machine_of(devices: int | None, nodes: int, rendezvous: str) -> "Resources":
    """What a stage may use."""
    from pipelines.cells.resources import Resources, default_devices

    return Resources(devices=devices or default_devices(), nodes=nodes, rendezvous=rendezvous)


def start_stage(
    stage: str,
    config: str,
    encoder: str,
    work_dir: Path | None,
    override: list[str] | None,
    machine: "Resources",
    join: bool,
    flags: dict[str, bool],
) -> None:
    """Run a stage, or lend the machine to the one that does."""
    with before_the_start():
        from pipelines.recipes.single import join_single, run_single

    with interruptible():
        start = join_single if join else run_single
        start(stage, config, encoder, work_dir, override or [], machine, **flags)


def predict_images(module: str, model: Path, images: list[Path], out: Path) -> None:
    """Write what a trained model finds in images, and tell the files."""
    with quiet():
        files = import_module(module).predict(model, images, out)
    print(*files, sep="\n")


@contextmanager
def quiet() -> Iterator[None]:
    """Without what mm's packages print and warn of."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@app.command()
def reconstruct(
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...")],
    checkpoint: Annotated[Path, typer.Option(help="A mae.safetensors, or another with decoder.")],
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("reconstruction.png"),
    mask_ratio: Annotated[
        list[float] | None, typer.Option(help="Once for each ratio; the model's own without it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the masks.")] = 0,
    override: Overrides = None,
) -> None:
    """Draw images, what a MAE sees of them, and what it predicts."""
    from mae_core.reconstruct import reconstruct_files

    reconstruct_files(images, checkpoint, out, mask_ratio, seed, override or [])
    print(out)


def main() -> None:
    """Entry point: turn outcomes into exit codes."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    accept_any_name()
    raise_when_asked()
    code, message = outcome(app)
    if is_command():
        end_when_asked(code, "")  # what is left is to leave
    if message:
        Console(stderr=True, highlight=False, soft_wrap=True).print(message)
    sys.exit(code)


def add_stages() -> None:
    """Add the commands of all stages; a package whose cards are broken ends this one."""
    try:
        cards = stages()
        for name in typer.main.get_command(app).commands.keys() & cards.keys():  # type: ignore[attr-defined]
            raise UserError(f"an installed package brings a stage '{name}', which is a command")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_MISTAKE)
    for card in cards.values():
        (command_with_predict if card.predict else stage_command)(card)


add_stages()

if __name__ == "__main__":
    main()

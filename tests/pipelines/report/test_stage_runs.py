import json
from pathlib import Path

import pytest

from pipelines.report.collect import collect
from pipelines.report.stage_runs import (
    MEASURED,
    STATED,
    commands,
    energy_note,
    facts,
    machine,
)
from pipelines.report.write import write_report
from pipelines.tracking.tracker import Tracker
from tests.pipelines.report.conftest import FIRST, SECOND, Written

HARDWARE = {"cpu": "EPYC", "cores": 2, "memory_gib": 8, "gpus": ["H100", "H100"]}


def test_what_a_pretraining_took_stands_beside_its_time(
    tracker: Tracker, written: Written, tmp_path: Path
) -> None:
    write_report(written.parent, tracker, tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    took = {one["stage"]: (one["images"], one["petaflop"]) for one in content["stages"]}
    assert took["pretrain"] == (199680, 0.0145) and took["knn"] == (None, None)
    for name in ("report.md", "report.html"):
        page = (tmp_path / name).read_text()
        assert "199,680 images, 0.0145 petaflop" in page and "a petaflop is" in page


def test_energy_is_left_out_unless_power_is_stated_or_measured(
    written: Written, tracker: Tracker, tmp_path: Path
) -> None:
    unknown = collect(written.parent, tracker).stages
    assert {one.energy for one in unknown} == {None}
    assert "No energy is given" in energy_note(unknown)
    write_report(written.parent, tracker, tmp_path)
    assert "energy, estimate" not in (tmp_path / "report.html").read_text()
    assert "energy, estimate" not in (tmp_path / "report.md").read_text()


def test_stated_power_makes_an_estimate_that_says_so(
    written: Written, tracker: Tracker, tmp_path: Path
) -> None:
    stages = collect(written.parent, tracker, watts=72).stages
    for one in stages:
        assert one.power == STATED
        assert one.energy == pytest.approx(72 * one.seconds / 3600)
    assert "Energy is an estimate, time × power (stated power, 72 W)" in energy_note(stages)
    write_report(written.parent, tracker, tmp_path, watts=72)
    content = json.loads((tmp_path / "report.json").read_text())
    assert all(one["energy_wh_estimate"] is not None for one in content["stages"])
    assert "energy, estimate" in (tmp_path / "report.html").read_text()


def test_the_measured_power_of_all_gpus_is_taken_where_it_was_tracked(
    written: Written, tracker: Tracker
) -> None:
    run_id = written.runs["knn[mae]"]
    for step, (one, other) in enumerate(((100.0, 30.0), (300.0, 50.0))):
        values = {
            "system/gpu_0_power_usage_watts": one,
            "system/gpu_1_power_usage_watts": other,
            "system/gpu_0_power_usage_percentage": 99.0,
        }
        tracker.points(run_id, values, step)
    stages = {one.name: one for one in collect(written.parent, tracker).stages}
    assert (stages["knn[mae]"].watts, stages["knn[mae]"].power) == (240.0, MEASURED)
    assert stages["pretrain[mae]"].watts is None
    assert "240 W" in energy_note(tuple(stages.values()))


def test_what_another_benchmark_or_a_single_stage_computed_is_told(
    written: Written, tracker: Tracker
) -> None:
    other = tracker.start("other", {"recipe": "other", "stage": "benchmark"})
    alone = tracker.start("knn[mae]", {"stage": "knn", "encoder": "mae", "recipe": "mine"})
    tracker.end(alone, "FINISHED")
    runs = {"pretrain[mae]": written.runs["pretrain[mae]"], "knn[mae]": alone}
    tracker.tag(other, cells=json.dumps(runs), encoders=json.dumps(["mae"]))
    found = {one.name: one.reused_from for one in collect(other, tracker).stages}
    assert found["pretrain[mae]"] == f"tiny, run {written.parent[:8]}"
    assert found["knn[mae]"] == f"mine, run {alone[:8]}"
    assert {one.reused_from for one in collect(written.parent, tracker).stages} == {""}


def test_what_was_tracked_of_code_versions_and_machine_is_told_and_nothing_else(
    written: Written, tracker: Tracker
) -> None:
    assert facts(collect(written.parent, tracker).stages) == {}
    for name, timm in (("knn[mae]", "1.0.31"), ("detect[mae]", "1.0.32")):
        tracker.tag(
            written.runs[name],
            seed="0",
            code=json.dumps({"hash": "abc", "commit": "def"}),
            versions=json.dumps({"torch": "2.11.0", "timm": timm}),
            hardware=json.dumps(HARDWARE),
        )
    assert facts(collect(written.parent, tracker).stages) == {
        "seed": "0",
        "commit": "def",
        "code": "abc",
        "versions": "torch 2.11.0, timm 1.0.31 or 1.0.32",
        "hardware": "EPYC, 2 cores, 8 GiB, 2 × H100",
    }


def test_a_machine_of_which_little_is_known_is_told_too() -> None:
    assert machine({"cpu": "EPYC", "gpus": []}) == "EPYC, no GPU"
    assert machine({}) == ""


def test_the_commands_name_the_recipe_and_a_stages_run_with_its_encoder(
    written: Written, tracker: Tracker
) -> None:
    benchmark = collect(written.parent, tracker)
    again, stage = commands(benchmark.tags, benchmark.stages)
    assert again == "mae-bench run tiny"
    knn, pretrained = written.runs["knn[mae]"], written.runs["pretrain[mae]"]
    assert stage == f"mae-bench knn runs:/{knn} --encoder runs:/{pretrained}"


def test_a_command_names_the_encoder_as_others_know_it(written: Written, tracker: Tracker) -> None:
    tracker.tag(written.runs[f"knn[{SECOND}]"], encoder_spec="timm:vit")
    benchmark = collect(written.parent, tracker)
    for row, spec in ((FIRST, FIRST), (SECOND, "timm:vit")):
        own = [one for one in benchmark.stages if one.encoder == row]
        assert commands(benchmark.tags, own)[-1].endswith(f" --encoder {spec}")
    made = [one for one in benchmark.stages if one.stage == "pretrain"]
    assert commands(benchmark.tags, made) == ["mae-bench run tiny"]

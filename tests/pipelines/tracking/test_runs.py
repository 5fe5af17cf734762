from mae_core.stage import Metric, StageResult
from pipelines.tracking.tracker import Tracker


def test_a_run_is_read_back_as_it_was_tracked(tracker: Tracker) -> None:
    parent = tracker.start("tiny", {"stage": "benchmark"})
    tags = {"stage": "knn", "encoder": "mae", "recipe": "tiny", "seed": "3"}
    run_id = tracker.start("knn[mae]", tags, parent)
    tracker.params(run_id, {"k": 20})
    tracker.finish(run_id, StageResult({"knn/top1": Metric(0.5, 0.01)}, labels=40))
    run = tracker.get(run_id)
    assert (run.id, run.name, run.parent, run.status) == (run_id, "knn[mae]", parent, "FINISHED")
    assert (run.stage, run.encoder, run.recipe, run.seed) == ("knn", "mae", "tiny", 3)
    assert (run.metrics, run.params) == ({"knn/top1": Metric(0.5, 0.01)}, {"k": "20"})
    assert run.labels == 40 and run.seconds >= 0


def test_runs_are_found_by_parent_status_and_tags(tracker: Tracker) -> None:
    parent = tracker.start("tiny", {"stage": "benchmark"})
    first = tracker.start("a", {"stage": "knn"}, parent)
    second = tracker.start("b", {"stage": "knn"})
    tracker.end(second, "FINISHED")

    def ids(**given: str) -> set[str]:
        return {run.id for run in tracker.find(**given)}

    assert ids() == {parent, first, second}
    assert ids(stage="knn") == {first, second}
    assert ids(stage="knn", parent=parent) == {first}
    assert ids(stage="knn", status="FINISHED") == {second}
    assert ids(stage="detect") == set()


def test_a_tag_with_quotes_is_found_and_no_filter_of_its_own(tracker: Tracker) -> None:
    tracker.start("other", {"recipe": "mine"})
    for recipe in ("somebody's", "' OR '1' = '1", "both \"' of them"):
        run_id = tracker.start("a", {"recipe": recipe})
        assert [run.id for run in tracker.find(recipe=recipe)] == [run_id]


def test_runs_of_the_same_work_are_those_that_computed_the_last_first(tracker: Tracker) -> None:
    tags = {"fingerprint": "1", "encoder": "it's"}
    slow, fast = tracker.start("slow", tags), tracker.start("fast", tags)
    begun = tracker.client.get_run(slow).info.start_time
    for run_id, seconds in ((slow, 20), (fast, 10)):
        tracker.client.set_terminated(run_id, "FINISHED", end_time=begun + 1000 * seconds)
    for other in ({"reused_from": slow}, {"encoder": "mae"}, {"fingerprint": "2"}):
        tracker.end(tracker.start("other", tags | other), "FINISHED")
    tracker.start("open", tags)
    assert [run.id for run in tracker.computed("1", "it's")] == [slow, fast]


def test_a_metrics_history_has_every_step(tracker: Tracker) -> None:
    run_id = tracker.start("a", {})
    for step, loss in ((10, 0.9), (20, 0.5)):
        tracker.points(run_id, {"loss": loss}, step)
    assert tracker.history(run_id, "loss") == [(10, 0.9), (20, 0.5)]
    assert tracker.history(run_id, "none") == []


def test_a_run_that_never_was_is_told_from_one_that_was_deleted(tracker: Tracker) -> None:
    run_id = tracker.start("a", {})
    assert tracker.look_up("0" * 32) is None and tracker.look_up("no/id") is None
    assert tracker.exists(run_id)
    tracker.client.delete_run(run_id)
    assert tracker.look_up(run_id) is not None and not tracker.exists(run_id)

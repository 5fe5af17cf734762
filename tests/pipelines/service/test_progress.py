import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from pipelines.display import Display
from pipelines.service import progress
from pipelines.service.progress import StageProgress, artifact_key


@pytest.mark.parametrize(
    "name, key",
    [("detect[mae]#1", "detect-mae-1"), ("knn[timm:ViT_b.mae]", "knn-timm-vit-b-mae")],
)
def test_a_cells_name_becomes_a_key(name: str, key: str) -> None:
    assert artifact_key(name) == key


def test_the_artifact_follows_the_stage(
    prefect: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)

    @flow
    def train() -> StageProgress:
        shown = StageProgress(Display(), "detect[mae]")
        shown.update("detect[mae]", 1, 4, "step", {"loss": 0.5, "images_per_s": 12.0})
        shown.update("detect[mae]", 2, 4, "step", {"loss": 0.25})
        shown.finish("detect[mae]", "detect/box_AP 0.4")
        return shown

    shown = train()
    with get_client(sync_client=True) as client:
        (found,) = [a for a in client.read_artifacts() if a.key == "detect-mae"]
    assert found.id == shown.artifact
    assert (found.type, found.data) == ("progress", 100.0)
    assert found.description == "detect[mae]: detect/box_AP 0.4"
    assert "detect[mae]: detect/box_AP 0.4" in capsys.readouterr().out


def test_a_server_that_is_away_does_not_stop_a_stage() -> None:
    shown = StageProgress(Display(), "knn[mae]")
    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away):
        shown.update("knn[mae]", 1, 2, "image", {})
        shown.finish("knn[mae]", "done")
    assert shown.artifact is None

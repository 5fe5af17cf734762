from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from mae_core.errors import UserError
from pipelines.service.deploy import FILE, FORGETS, OPEN, POOL, SHIPPED, deploy
from pipelines.service.prefect_names import FLOW_NAME, SWEEP_FLOW
from pipelines.service.slots import SHARED

ROOT = Path(__file__).parents[3]


@pytest.fixture
def without_limit(prefect: None) -> None:
    """The limit would bind the other tests' flows."""
    yield
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(SHARED)


def test_everything_is_created_once_and_follows_changes(
    without_limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = deploy(2), deploy(3)
    assert FORGETS in second and OPEN in second
    assert f"work pool '{POOL}': created" in first and f"work pool '{POOL}': there" in second
    with get_client(sync_client=True) as client:
        assert client.read_work_pool(POOL).type == "process"
        assert client.read_global_concurrency_limit_by_name(SHARED).limit == 3
        found = client.read_deployments()
        names = sorted(d.name for d in found)
        configs = (
            path for of in ("benchmarks", "sweeps") for path in (ROOT / "configs" / of).iterdir()
        )
        assert names == sorted(path.stem for path in configs if path.suffix == ".py")
        assert client.read_deployment_by_name(f"{SWEEP_FLOW}/mask-ratio_demo").parameters == {
            "sweep": "mask-ratio_demo"
        }
        demo = client.read_deployment_by_name(f"{FLOW_NAME}/demo")
    assert demo.parameters == {"recipe": "demo"} and demo.work_pool_name == POOL
    (step,) = demo.pull_steps
    assert list(step.values()) == [{"directory": str(tmp_path)}]
    fields = demo.parameter_openapi_schema["properties"]
    assert {"recipe", "encoders", "tasks", "overrides", "data_root", "tracking_uri", "seed"} <= (
        fields.keys()
    )
    assert all("description" in field for field in fields.values())


def test_without_a_server_the_way_to_one_is_told() -> None:
    with (
        temporary_settings(restore_defaults=[PREFECT_API_URL]),
        pytest.raises(UserError, match="prefect server start"),
    ):
        deploy(1)


def test_a_file_of_the_current_folder_comes_first(
    without_limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = SHIPPED.read_text()
    Path(FILE).write_text(ours.replace("name: demo", "name: mine"))
    assert f"deployments of {tmp_path / FILE}: created or updated" in deploy(1)
    with get_client(sync_client=True) as client:
        assert client.read_deployment_by_name(f"{FLOW_NAME}/mine").parameters == {"recipe": "demo"}


def test_a_file_that_prefect_refuses_is_told(
    without_limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(FILE).write_text("deployments: [{name: mine, entrypoint: no.such.flow}]")
    with pytest.raises(UserError, match=f"--prefect-file {tmp_path / FILE} failed"):
        deploy(1)

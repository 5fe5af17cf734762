import subprocess
import sys

IMPORT_ALL = """
import importlib, pkgutil, sys
import mae_core
names = [m.name for m in pkgutil.walk_packages(mae_core.__path__, "mae_core.")]
for name in names:
    importlib.import_module(name)
above = {"prefect", "mlflow", "mmdet", "mmseg", "pipelines", "downstream"} & sys.modules.keys()
print(len(names), sorted(above))
"""


def test_no_module_of_the_core_imports_orchestration_or_tasks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True
    )
    count, above = done.stdout.split(maxsplit=1)
    assert int(count) > 15
    assert above.strip() == "[]"

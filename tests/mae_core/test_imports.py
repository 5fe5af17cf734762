import subprocess
import sys

import pytest

import mae_core

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


LAZY = """
import sys
import mae_core
from mae_core.config import load_config
from mae_core.data.sources import check_data
print(sorted({"torch", "timm", "matplotlib", "scipy"} & sys.modules.keys()))
model = mae_core.create_model("vit-micro-p6", img_size=12, depth=1)
from mae_core import *
print(create_encoder.__name__, load_weights.__name__, type(model).__name__, UserError.__name__)
"""


def test_the_package_imports_torch_when_it_is_first_needed() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    assert before == "[]"
    assert after == "create_encoder load_weights MAE UserError"


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mae_core' has no attribute 'create_modle'"):
        mae_core.create_modle  # noqa: B018

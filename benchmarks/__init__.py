"""Measurements: ratios taken side by side in one run."""

import downstream  # noqa: F401  gives mmcv its operators before mmdet asks for them

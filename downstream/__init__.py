"""Tasks on top of an encoder."""

from downstream.operators import register

register()  # before anything imports `mmcv.ops`, as mmdet and mmseg do

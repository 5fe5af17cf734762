import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from mae_core.data.demo.coco import run_lengths


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_pycocotools_reads_our_run_lengths(mask: NDArray[np.bool_]) -> None:
    encoded = coco_mask.frPyObjects(run_lengths(mask), *mask.shape)
    np.testing.assert_array_equal(coco_mask.decode(encoded), mask)

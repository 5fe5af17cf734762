"""DICOM files as pydicom writes them, small enough for tests."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

PATIENT = "Mustermann^Erika"


def dataset(pixels: NDArray[Any], **tags: Any) -> Dataset:
    """Of (H, W), (H, W, 3) uint8, or frames (N, H, W)."""
    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.file_meta.MediaStorageSOPClassUID = scan.SOPClassUID = SecondaryCaptureImageStorage
    scan.SOPInstanceUID = generate_uid(entropy_srcs=["test"])
    scan.file_meta.MediaStorageSOPInstanceUID = scan.SOPInstanceUID
    scan.PatientName = PATIENT
    coloured = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.ndim == 3 and not coloured:
        scan.NumberOfFrames = len(pixels)
    scan.Rows, scan.Columns = pixels.shape[:2] if coloured else pixels.shape[-2:]
    scan.SamplesPerPixel = 3 if coloured else 1
    if coloured:
        scan.PlanarConfiguration = 0
    scan.PhotometricInterpretation = "RGB" if coloured else "MONOCHROME2"
    scan.BitsAllocated = scan.BitsStored = pixels.dtype.itemsize * 8
    scan.HighBit = scan.BitsStored - 1
    scan.PixelRepresentation = int(pixels.dtype.kind == "i")
    scan.PixelData = pixels.tobytes()
    scan["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for key, value in tags.items():
        setattr(scan, key, value)
    return scan


def written(scan: Dataset) -> bytes:
    """The file."""
    out = io.BytesIO()
    scan.save_as(out, enforce_file_format=True)
    return out.getvalue()


def dicom(pixels: NDArray[Any], **tags: Any) -> bytes:
    """A file of pixels, see :func:`dataset`."""
    return written(dataset(np.ascontiguousarray(pixels), **tags))

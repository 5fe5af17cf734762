"""Where images come from: folders, tar shards, parquet, Hugging Face, arrays; one interface."""

from mae_core.data.sources.base import NO_LABEL, Source
from mae_core.data.sources.factory import (
    check_data,
    data_digest,
    listed_in,
    open_source,
    opened_once,
    table_files,
)

__all__ = [
    "NO_LABEL",
    "Source",
    "check_data",
    "data_digest",
    "listed_in",
    "open_source",
    "opened_once",
    "table_files",
]

"""The names of encoders that have no file; imports nothing heavy."""

TRIVIAL = ("pixels", "rcf")  # are architectures too
FILELESS = ("random", "supervised", *TRIVIAL)
TIMM, AT_RANDOM = "timm:", "@random"  # around an architecture of timm with weights drawn anew


def has_file(encoder: str) -> bool:
    """Whether an encoder, as stages take it, is a file; others begin with weights drawn anew."""
    drawn = encoder.startswith(TIMM) and encoder.endswith(AT_RANDOM)
    return encoder not in FILELESS and not drawn


def own_arch(encoder: str) -> str:
    """The architecture that the name of an encoder without a file says, '' if it says none."""
    if has_file(encoder) or encoder in ("random", "supervised"):
        return ""
    return encoder.removesuffix(AT_RANDOM)

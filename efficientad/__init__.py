"""EfficientAD: a visual inspector that learns from good images only (arXiv 2303.14535)."""

__version__ = "0.1.0"

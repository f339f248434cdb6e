"""Self-supervised skeleton-based action recognition, from raw recordings to fused accuracies."""

__version__ = "0.1.0"

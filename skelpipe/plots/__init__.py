"""Pictures: confusion, curves, sweeps, t-SNE and motion."""

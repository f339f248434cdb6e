"""What somebody does with a trained encoder and its head: the classes of recordings that nobody has labelled."""

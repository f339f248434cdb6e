"""Raw files become stores: what was in the recordings, whole, and what was left out."""

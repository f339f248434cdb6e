"""Raw files become stores: what was in the recordings, whole, and what was left out."""

NATIVE = "native"  # in the place of T, frames of a clip: every clip has its own number

"""Arrays and weights to and from other projects."""

"""One page about a set of evaluations, beside the published figures."""

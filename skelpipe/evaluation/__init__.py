"""How good an encoder is: features, protocols, scores and their fusion."""

"""The nouns, as frozen values, and the pure rules between them."""

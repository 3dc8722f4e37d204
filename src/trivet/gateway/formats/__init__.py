"""One file a format: how a request's bytes become a batch, and how an answer is written."""

"""Protocols in and out: bytes of a request become a batch, a batch becomes bytes of an answer, an error a status code."""

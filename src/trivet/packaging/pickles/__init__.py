"""Pickles, read without being loaded: what they name and call, and whether all of it is expected."""

from trivet.packaging.pickles.allowed import Allowed, allowed_of
from trivet.packaging.pickles.read import Document, PickleFacts, first_names, read_pickle

__all__ = ["Allowed", "Document", "PickleFacts", "allowed_of", "first_names", "read_pickle"]

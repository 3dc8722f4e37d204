"""Requirements -> lock -> interpreter: environments, cached by digest, made by uv."""

from trivet.envs.confined import Confined
from trivet.envs.known_bad import packages_of
from trivet.envs.progress import Progress, silent
from trivet.envs.restoring import restore
from trivet.envs.store import EnvironmentInfo, EnvironmentStore

__all__ = ["Confined", "EnvironmentInfo", "EnvironmentStore", "Progress", "packages_of", "restore", "silent"]

"""`CustomInferenceConfig`: where a custom model's files are."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Set, Union

__all__ = ["CustomInferenceConfig", "InferenceConfig"]


@dataclass
class InferenceConfig:
    """The configuration that any builder receives.

    Attributes:
        framework: the framework's name, `custom`, or an enum member of that value.
        model_path: the folder with the model's files; a string becomes a `pathlib.Path`.
    """

    framework: Any = "custom"
    model_path: Union[str, Path] = Path()

    def __post_init__(self) -> None:
        self.model_path: Path = Path(self.model_path)


@dataclass
class CustomInferenceConfig(InferenceConfig):
    """The configuration that the builder of a custom model receives.

    Attributes:
        modules_to_include: patterns of the files that are the package's modules.
    """

    modules_to_include: Optional[Set[str]] = field(default_factory=lambda: {"*.py"})

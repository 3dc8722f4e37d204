"""Model versions."""

from typing import Any, Literal, Self

import pyarrow as pa

import trivet
from trivet.errors import Invalid
from trivet.sdk.model import ModelConfig
from trivet.sdk.short_tracebacks import short_tracebacks
from wallaroo.lists import Shown
from wallaroo.object import LANGUAGE_MODELS, NotThereYetError
from wallaroo.tag import Tag, TagList, tags_in

__all__ = ["ModelConfig", "ModelVersion", "ModelVersionList"]


@short_tracebacks
class ModelVersion(trivet.ModelVersion):
    """One upload of a model."""

    def configure(
        self,
        runtime: str | None = None,
        tensor_fields: list[str] | None = None,
        batch_config: Literal["single", "whole", "joined"] | list[Any] | None = None,
        *,
        batching: Literal["single", "whole", "joined"] | None = None,
        network: Literal["full", "none"] | None = None,
        input_schema: pa.Schema | None = None,
        output_schema: pa.Schema | None = None,
        dynamic_batching_config: trivet.DynamicBatchingConfig | None = None,
        continuous_batching_config: Any = None,
        openai_config: Any = None,
    ) -> Self:
        """The version under another configuration, for use in pipelines.

        Raises:
            NotThereYetError: continuous batching or OpenAI endpoints were requested.
        """
        if continuous_batching_config is not None or openai_config is not None:
            asked = "continuous_batching_config" if openai_config is None else "openai_config"
            raise NotThereYetError(f"{asked} is not supported yet", fix=LANGUAGE_MODELS, path=asked)
        if isinstance(batch_config, list):
            # The reference's documents have a list of one.
            if len(batch_config) > 1:
                raise Invalid(f"batch_config has {len(batch_config)} values", fix="give one", path="batch_config")
            batch_config = batch_config[0] if batch_config else None
        return super().configure(
            runtime,
            tensor_fields,
            batch_config,
            batching=batching,
            network=network,
            input_schema=input_schema,
            output_schema=output_schema,
            dynamic_batching_config=dynamic_batching_config,
        )

    def __repr__(self) -> str:
        return str(self)

    def tags(self) -> TagList:
        """The tags that it has."""
        return TagList(each for each in tags_in(self._client) if each.has("models", self.id()))

    def add_tag(self, tag: Tag) -> dict[str, int]:
        """Give it a tag."""
        return tag.add_to_model(self.id())

    def remove_tag(self, tag: Tag) -> dict[str, int]:
        """Take a tag from it."""
        return tag.remove_from_model(self.id())


class ModelVersionList(Shown[ModelVersion]):
    """Model versions, shown as a table."""

    empty = "(no model versions)"

    @staticmethod
    def row(thing: ModelVersion) -> dict[str, Any]:
        """A version's row."""
        return {
            "Name": thing.name(),
            "Version": thing.version(),
            "File Name": thing.file_name(),
            "Image Path": None,
            "Architecture": thing.arch(),
            "Acceleration": thing.accel(),
            "Last Update Time": thing.last_update_time(),
        }

"""Pipelines."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import trivet
from trivet.errors import Conflict, TrivetError
from trivet.sdk.pipeline import PipelineVersion
from wallaroo.lists import Shown
from wallaroo.object import DEPLOYING, INFERRING, absent, translated

if TYPE_CHECKING:
    import httpx

__all__ = ["Pipeline", "PipelineList", "PipelineVersion"]

INFER_S = 15.0
DEPLOY_S = 45.0


class Pipeline(trivet.Pipeline):
    """Steps under a name."""

    references_order = True

    def create_time(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self._document["created_at"])

    def last_update_time(self) -> datetime:
        """When it last changed."""
        return datetime.fromisoformat(self._document["updated_at"])

    def is_deployed(self) -> bool:
        """Whether it is to run."""
        return bool(self._document["deployed"])

    def deploy(
        self,
        pipeline_name: str | None = None,
        deployment_config: Mapping[str, Any] | None = None,
        wait_for_status: bool = True,
        *,
        timeout: float = DEPLOY_S,
    ) -> Self:
        """Run the steps.

        Raises:
            DeploymentError: steps do not fit, a model is not ready, or it cannot run.
        """
        try:
            return super().deploy(pipeline_name, deployment_config, wait_for_status, timeout=timeout)
        except TrivetError as error:
            raise translated(error, DEPLOYING) from error

    def undeploy(self, *, timeout: float = DEPLOY_S) -> Self:
        """Stop it, if it runs."""
        try:
            return super().undeploy(timeout=timeout)
        except Conflict as error:
            if error.reason != "not_deployed":
                raise
            return self

    def infer(
        self,
        tensor: Any,
        timeout: float = INFER_S,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
        dataset_separator: str | None = ".",
    ) -> Any:
        """Send rows: a DataFrame in, a DataFrame out; a Table in, a Table out.

        Raises:
            InferenceError: the rows do not fit, or the model failed on them.
            InferenceTimeoutError: it took longer than `timeout`.
        """
        try:
            return super().infer(tensor, timeout, dataset, dataset_exclude, dataset_separator)
        except TrivetError as error:
            raise translated(error, INFERRING) from error

    async def async_infer(
        self,
        tensor: Any,
        async_client: "httpx.AsyncClient",
        timeout: float = INFER_S,
        retries: int = 0,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
    ) -> Any:
        """Send rows without blocking, with the given HTTP client."""
        try:
            return await super().async_infer(tensor, async_client, timeout, retries, dataset, dataset_exclude)
        except TrivetError as error:
            raise translated(error, INFERRING) from error

    # Other kinds of steps
    add_shadow_deploy = absent("shadow deployments are")
    replace_with_shadow_deploy = absent("shadow deployments are")
    add_random_split = absent("splitting requests between models is")
    replace_with_random_split = absent("splitting requests between models is")
    add_key_split = absent("splitting requests between models is")
    replace_with_key_split = absent("splitting requests between models is")
    add_validation = absent("add_validation is", fix='write add_validations(name=pl.col("out.x").list.get(0) > 0.9)')

    # Outside the platform
    publish = absent("publishing pipelines is")
    publishes = absent("publishing pipelines is")
    list_edges = absent("publishing pipelines to edges is")
    create_version = absent("a version without a deploy is", fix="deploy: every deploy makes a version")

    add_tag = absent("tags are")
    remove_tag = absent("tags are")
    tags = absent("tags are")
    openai_completion = absent("OpenAI endpoints are")
    openai_chat_completion = absent("OpenAI endpoints are")
    generate_api_spec = absent(
        "generate_api_spec is", fix="GET /pipelines/<name>/openapi.json of the gateway gives the document"
    )


class PipelineList(Shown[trivet.Pipeline]):
    """Pipelines, shown as a table."""

    empty = "(no pipelines)"

    @staticmethod
    def row(thing: trivet.Pipeline) -> dict[str, Any]:
        """A pipeline's row."""
        return thing._shown()  # noqa: SLF001

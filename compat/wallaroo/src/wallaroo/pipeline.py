"""Pipelines."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import trivet
from trivet.errors import Conflict, NotFound, TrivetError
from trivet.sdk import pipeline as sdk
from trivet.sdk.calls import Platform
from trivet.sdk.lists import PipelineVersionList
from trivet.sdk.row_errors import OnError
from trivet.sdk.short_tracebacks import short_tracebacks
from trivet.sdk.steps import Steps
from wallaroo.deployment import Deployment
from wallaroo.lists import Shown
from wallaroo.object import (
    DEPLOYING,
    INFERRING,
    LANGUAGE_MODELS,
    PUBLISHING,
    SHADOWS,
    SPLITS,
    absent,
    translated,
)
from wallaroo.tag import Tag, TagList, tags_in

if TYPE_CHECKING:
    import httpx

__all__ = ["Pipeline", "PipelineList", "PipelineVersion"]

INFER_S = 15.0
DEPLOY_S = 45.0


class PipelineVersion(sdk.PipelineVersion):
    """The steps of one deploy."""

    @property
    def _name(self) -> str:
        """`name`, as notebooks read it."""
        return self.name()

    @property
    def _id(self) -> int:
        """`id`, as notebooks read it."""
        return self.id()


@short_tracebacks
class Pipeline(trivet.Pipeline):
    """Steps under a name."""

    references_order = True

    def __init__(self, client: Platform, document: Mapping[str, Any], *, version: str | None = None) -> None:
        super().__init__(client, document, version=version)
        # Steps that are not deployed yet, by the pipeline's id: the client's, so that `get_pipeline` finds them again.
        self._drafts: dict[int, Steps] = getattr(client, "drafts", {})

    def take_draft(self) -> None:
        """Have the steps that the client added to the pipeline and did not deploy, if there are any."""
        self._steps = self._drafts.get(self.id(), self._steps)

    def clear(self) -> Self:
        """Remove all steps."""
        self._drafts.pop(self.id(), None)
        return super().clear()

    def add_model_step(self, model: Any) -> Self:
        """Add a model version as the last step."""
        super().add_model_step(model)
        return self._keep()

    def replace_with_model_step(self, index: int, model: Any) -> Self:
        """Replace a step with a model version."""
        super().replace_with_model_step(index, model)
        return self._keep()

    def remove_step(self, index: int) -> Self:
        """Remove a step."""
        super().remove_step(index)
        return self._keep()

    def add_validations(self, **validations: Any) -> Self:
        """Add conditions on rows and answers: see Trivet's SDK."""
        super().add_validations(**validations)
        return self._keep()

    def _keep(self) -> Self:
        self._drafts[self.id()] = self._steps
        return self

    def versions(self) -> PipelineVersionList:
        """Every deploy, the newest first."""
        self._refresh()
        return PipelineVersionList(PipelineVersion(self.name(), each) for each in self._document["versions"])

    @property
    def _deployment(self) -> Deployment:
        """Its deployment, which notebooks ask for the address."""
        return Deployment(self)

    def url(self) -> str:
        """Its URL for predictions.

        Raises:
            EntityNotFoundError: it is not deployed.
        """
        try:
            return super().url()
        except NotFound as error:
            raise translated(error) from None

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
            deployed = super().deploy(pipeline_name, deployment_config, wait_for_status, timeout=timeout)
            self._drafts.pop(self.id(), None)
            return deployed
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
        *,
        on_error: OnError = "raise",
    ) -> Any:
        """Send rows: a DataFrame in, a DataFrame with the same index out; a Table in, a Table out.

        `on_error` is Trivet's: see `trivet.Pipeline.infer`.

        Raises:
            InferenceError: the rows do not fit, or the model failed on them.
            InferenceTimeoutError: it took longer than `timeout`.
        """
        try:
            return super().infer(tensor, timeout, dataset, dataset_exclude, dataset_separator, on_error=on_error)
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
        *,
        on_error: OnError = "raise",
    ) -> Any:
        """Send rows without blocking, with the given HTTP client. For `on_error` see `trivet.Pipeline.infer`."""
        try:
            return await super().async_infer(
                tensor, async_client, timeout, retries, dataset, dataset_exclude, on_error=on_error
            )
        except TrivetError as error:
            raise translated(error, INFERRING) from error

    # Other kinds of steps
    add_shadow_deploy = absent("shadow deployments are", fix=SHADOWS)
    replace_with_shadow_deploy = absent("shadow deployments are", fix=SHADOWS)
    add_random_split = absent("splitting requests between models is", fix=SPLITS)
    replace_with_random_split = absent("splitting requests between models is", fix=SPLITS)
    add_key_split = absent("splitting requests between models is", fix=SPLITS)
    replace_with_key_split = absent("splitting requests between models is", fix=SPLITS)
    add_validation = absent("add_validation is", fix='write add_validations(name=pl.col("out.x").list.get(0) > 0.9)')

    # Outside the platform
    publish = absent("publishing pipelines is", fix=PUBLISHING)
    publishes = absent("publishing pipelines is", fix=PUBLISHING)
    list_edges = absent("publishing pipelines to edges is", fix=PUBLISHING)
    create_version = absent("a version without a deploy is", fix="deploy: every deploy makes a version")

    def tags(self) -> TagList:
        """The tags that it has."""
        return TagList(each for each in tags_in(self._client) if each.has("pipelines", self.id()))

    def add_tag(self, tag: Tag) -> dict[str, int]:
        """Give it a tag."""
        return tag.add_to_pipeline(self.id())

    def remove_tag(self, tag: Tag) -> dict[str, int]:
        """Take a tag from it."""
        return tag.remove_from_pipeline(self.id())

    openai_completion = absent("OpenAI endpoints are", fix=LANGUAGE_MODELS)
    openai_chat_completion = absent("OpenAI endpoints are", fix=LANGUAGE_MODELS)
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

"""A pipeline's facts that need no request, shared by both clients."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from trivet.errors import NotFound
from trivet.sdk import answers, frames, operations
from trivet.sdk.calls import Operation
from trivet.sdk.given_rows import given_rows, is_array
from trivet.sdk.lists import table_of
from trivet.sdk.row_errors import checked_on_error, split_answer
from trivet.sdk.short_tracebacks import short_tracebacks
from trivet.sdk.steps import Steps

__all__ = ["DEPLOY_S", "INFER_S", "PipelineState", "PipelineVersion", "live_facts"]

DEPLOY_S = 45.0
INFER_S = 15.0


class PipelineVersion:
    """The steps of one deploy."""

    def __init__(self, pipeline: str, document: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._document = document

    def id(self) -> int:
        """Its id among all versions of all pipelines."""
        return int(self._document["id"])

    def name(self) -> str:
        """Its UUID, for `get_pipeline(name, version=…)`."""
        return str(self._document["uuid"])

    @property
    def number(self) -> int:
        """The number of this version of its pipeline, from 1."""
        return int(self._document["number"])

    def create_time(self) -> datetime:
        """When it was deployed."""
        return datetime.fromisoformat(self._document["created_at"])

    def steps(self) -> list[dict[str, Any]]:
        """Its steps, in the reference's form."""
        return Steps(self._document["steps"]).shown()

    def __repr__(self) -> str:
        return f"PipelineVersion({self._pipeline!r}, {self.name()!r}, number={self.number})"

    def _repr_html_(self) -> str:
        return table_of(self._shown())

    def _shown(self) -> dict[str, Any]:
        return {
            "pipeline": self._pipeline,
            "number": self.number,
            "version": self.name(),
            "created": self.create_time(),
            "steps": ", ".join(step["name"] for step in self._document["steps"] if step["step"] == "model"),
        }


def live_facts(name: str, document: Mapping[str, Any], *, workspace: str) -> Operation[dict[str, Any]]:
    """The number of the version that answers requests, its state, and the pipeline's address.

    Args:
        name: the pipeline's.
        document: the platform's, about the pipeline.
        workspace: its workspace.
    """
    if not document["deployed"]:
        return {"live version": None, "address": None}
    query = {"workspace": workspace}
    deployment = (yield from operations.call("GET", operations.at("pipelines", name, "deployment"), query=query))[
        "deployment"
    ]
    numbers = {each["uuid"]: each["number"] for each in document["versions"]}
    found = yield from operations.infer_url(name, workspace=workspace)
    status = deployment["status"]
    return {"live version": numbers.get(status["serving"]), "state": status["state"], "address": found["url"]}


@short_tracebacks
class PipelineState:
    """A pipeline's facts without a request, and its steps, which stay local until they are deployed.

    Attributes:
        references_order: whether answers have the columns of each part sorted by code point, and logs the rows of each request
            in reverse, as in the reference.
    """

    references_order: ClassVar[bool] = False

    def __init__(self, document: Mapping[str, Any], *, version: str | None = None) -> None:
        self._document = document
        found = [each for each in document["versions"] if version in (None, each["uuid"])]
        if not found:
            raise NotFound(
                f"Pipeline version {version} not found in this workspace.",
                fix=f"there are {', '.join(each['uuid'] for each in document['versions'])}",
            )
        self._steps = Steps(found[0]["steps"])
        self._infer_url: str | None = None

    def id(self) -> int:
        """Its id among all pipelines."""
        return int(self._document["id"])

    def name(self) -> str:
        """Its name."""
        return str(self._document["name"])

    @property
    def workspace(self) -> str:
        """The name of its workspace."""
        return str(self._document["workspace"])

    def document(self) -> dict[str, Any]:
        """The platform's full document about it."""
        return dict(self._document)

    def steps(self) -> list[dict[str, Any]]:
        """The steps of the next deploy."""
        return self._steps.shown()

    def clear(self) -> Self:
        """Remove all steps."""
        self._steps = Steps([])
        return self

    def add_model_step(self, model: Any) -> Self:
        """Add a model version as the last step."""
        self._steps.add_model(model)
        return self

    def replace_with_model_step(self, index: int, model: Any) -> Self:
        """Replace a step with a model version."""
        self._steps.replace(index, model)
        return self

    def remove_step(self, index: int) -> Self:
        """Remove a step."""
        self._steps.remove(index)
        return self

    def add_validations(self, **validations: Any) -> Self:
        """Add conditions on rows and answers: polars expressions over `in.*` and `out.*`. True means anomaly.

        Each becomes a column `anomaly.<name>`; `anomaly.count` is the number that were true.
        """
        self._steps.add_validations(validations)
        return self

    def _asking(
        self,
        tensor: Any,
        timeout: float,
        dataset: Sequence[str] | str | None,
        exclude: Sequence[str] | str | None,
        separator: str | None,
        *,
        retries: int,
        on_error: str = "raise",
    ) -> Operation[Any]:
        on_error = checked_on_error(on_error)
        by_row = on_error != "raise"
        if self._infer_url is None:
            found = yield from operations.infer_url(self.name(), workspace=self.workspace)
            self._infer_url = found["url"]
            if self._infer_url is None:
                raise NotFound(f"Pipeline {self.name()} is not deployed", fix="deploy it first")
        single = (yield from operations.single_input(self._infer_url)) if is_array(tensor) else None
        given = given_rows(tensor, single=single, by_row=by_row)
        request = frames.request_of(
            given.rows, url=self._infer_url, timeout_s=timeout, dataset=dataset, dataset_exclude=exclude, by_row=by_row
        )
        reply = yield from operations.ask(request, retries=retries)
        if on_error == "split":
            parts = split_answer(given.rows, reply, separator=separator, is_sorted=self.references_order)
            return tuple(given.answer(each) for each in parts)
        answer = answers.answer_of(given.rows, reply, separator=separator, is_sorted=self.references_order)
        return given.answer(answer)

    def _shown(self) -> dict[str, Any]:
        document = self._document
        names = [step["name"] for step in self._steps.documents if step["step"] == "model"]
        deployed = "(none)" if document["deployed"] is None else document["deployed"]
        return {
            "name": self.name(),
            "created": datetime.fromisoformat(document["created_at"]),
            "last_updated": datetime.fromisoformat(document["updated_at"]),
            "deployed": deployed,
            "workspace_id": document["workspace_id"],
            "workspace_name": self.workspace,
            "arch": "x86",
            "accel": "none",
            "tags": ", ".join(document.get("tags", ())),
            "versions": ", ".join(each["uuid"] for each in document["versions"]),
            "steps": names[0] if names else "",
            "published": False,
        }

    def __repr__(self) -> str:
        return str({name: value for name, value in self._shown().items() if name != "published"})

    def _repr_html_(self) -> str:
        return table_of(self._shown())

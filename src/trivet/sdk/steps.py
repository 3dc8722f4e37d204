"""A pipeline's steps before they are deployed."""

import json
from collections.abc import Mapping
from typing import Any

from trivet.errors import Invalid, Unsupported

__all__ = ["Steps"]


class Steps:
    """Steps in order.

    Args:
        steps: those of a pipeline version.
    """

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.documents = [dict(step) for step in steps]

    def add_model(self, model: Any) -> None:
        """Append a model version."""
        self.documents.append(_of(model))

    def replace(self, index: int, model: Any) -> None:
        """Replace a step with a model version."""
        self._check(index)
        self.documents[index] = _of(model)

    def remove(self, index: int) -> None:
        """Remove a step."""
        self._check(index)
        del self.documents[index]

    def add_validations(self, validations: Mapping[str, Any]) -> None:
        """Append conditions on the previous step's answers."""
        made = []
        for name, expression in validations.items():
            if name == "count":
                import warnings

                warnings.warn("the name `count` is reserved: the validation is ignored", stacklevel=3)
                continue
            try:
                tree = expression.meta.serialize(format="json")
            except AttributeError:
                raise Invalid(
                    f"the validation {name!r} is not a polars expression",
                    fix='write it as in fraud=pl.col("out.dense_1").list.get(0) > 0.9',
                ) from None
            except Exception as error:
                raise Unsupported(
                    f"the validation {name!r} cannot be sent",
                    why=str(error).splitlines()[0] if str(error) else type(error).__name__,
                    fix="use polars' own functions: Python functions cannot be sent",
                ) from error
            made.append({"name": name, "expression": tree})
        if made:
            self.documents.append({"step": "check", "validations": made})

    def shown(self) -> list[dict[str, Any]]:
        """The steps in the reference's form."""
        found: list[dict[str, Any]] = []
        for step in self.documents:
            if step["step"] == "model":
                one = {"name": step["name"], "version": step["version"], "sha": step["sha"]}
                found.append({"ModelInference": {"models": [one]}})
            else:
                trees = [_named(each) for each in step["validations"]]
                found.append({"Check": {"tree": trees}})
        return found

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self.documents):
            raise Invalid(f"step {index} does not exist", fix=f"the pipeline has {len(self.documents)} steps, from 0")


def _of(model: Any) -> dict[str, Any]:
    make = getattr(model, "step", None)
    if make is None:
        raise Invalid(f"{model!r} is not a model version", fix="give what upload_model or get_model returned")
    step: dict[str, Any] = make()
    return step


def _named(validation: Mapping[str, str]) -> str:
    try:
        return json.dumps({"Alias": [json.loads(validation["expression"]), validation["name"]]}, separators=(",", ":"))
    except ValueError:
        return validation["expression"]

"""A deployment configuration in the reference's form, read once and checked."""

import re
from collections.abc import Sequence
from typing import Any

from trivet.domain.deployment import DeploymentConfig, Resources
from trivet.domain.frameworks import FRAMEWORKS, Runtime
from trivet.domain.machines import Machine
from trivet.domain.quantities import check_cpus, check_gpus, check_replicas, parse_memory
from trivet.domain.version import ModelVersion
from trivet.errors import Conflict, Invalid, Unsupported

__all__ = ["check_machine", "config_for", "read_config"]

TOP = {"engine", "enginelb", "engineAux", "node_selector", "workspace_id"}
ENGINE = {"cpu", "gpu", "resources", "replicas", "arch", "accel", "node_selector", "autoscale", "image", "env"}
IMAGE = {"cpu", "gpu", "resources", "arch", "accel", "node_selector", "env", "replicas", "autoscale"}
AUX = {"images", "autoscale"}
RESOURCES = {"limits", "requests"}
AMOUNTS = {"cpu", "memory", "gpu", "nvidia.com/gpu"}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")


def read_config(
    document: dict[str, Any], models: Sequence[ModelVersion], *, log_inferences: bool, gpus: int
) -> DeploymentConfig:
    """Read a deployment configuration.

    Args:
        document: as the reference's `DeploymentConfigBuilder` builds it; plain JSON.
        models: the pipeline's, in order. `engineAux` names each as `<name>-<version id>`.
        log_inferences: whether requests and answers are logged.
        gpus: how many the machine has.

    Raises:
        Invalid: an unknown key, or an invalid value; `path` says where.
        Unsupported: it asks for something that one machine does not have.
    """
    _mapping(document, "config", TOP)
    engine = _mapping(document.get("engine"), "engine", ENGINE)
    _mapping(document.get("enginelb"), "enginelb", ENGINE)
    aux = _mapping(document.get("engineAux"), "engineAux", AUX)
    for path, part in (("engine", engine), ("engineAux", aux)):
        _no_autoscaling(part.get("autoscale"), f"{path}.autoscale")
    replicas = engine.get("replicas")
    replicas = 1 if replicas is None else check_replicas(replicas, path="engine.replicas")
    known = {f"{version.name}-{version.id}": version for version in models}
    sidekicks = {}
    for key, given in _mapping(aux.get("images"), "engineAux.images").items():
        path = f"engineAux.images.{key}"
        if key not in known:
            raise Invalid(
                f"{_shown(key)} is not a model of this pipeline",
                fix=f"known are {', '.join(known)}: the model's name and its version's id",
                path=path,
            )
        image = _mapping(given, path, IMAGE)
        _no_autoscaling(image.get("autoscale"), f"{path}.autoscale")
        if image.get("replicas") not in {None, replicas}:
            raise Unsupported(
                "models of one pipeline with different numbers of workers are not supported yet",
                fix="give engine.replicas, which holds for all of them",
                path=f"{path}.replicas",
            )
        sidekicks[known[key].uuid] = _resources(image, path)
    _check_gpus([each.gpus for each in sidekicks.values()], replicas=replicas, there=gpus)
    resources = _resources(engine, "engine")
    if resources.gpus:
        raise Unsupported(
            "GPUs for models that run in the gateway are not supported yet",
            why="it answers with the machine's processors",
            fix="leave them out of engine; a model in a worker takes GPUs of its own",
            path="engine",
        )
    of_engine = Resources(cpus=resources.cpus, memory_bytes=resources.memory_bytes, env=resources.env)
    for version in models:
        # An ONNX model is sized by the engine's resources, in a worker too.
        if FRAMEWORKS[version.framework].first_try is Runtime.NATIVE:
            sidekicks.setdefault(version.uuid, of_engine)
    return DeploymentConfig(
        replicas=replicas,
        engine=resources,
        sidekicks=sidekicks,
        log_inferences=log_inferences,
        document=document,
    )


def check_machine(document: dict[str, Any], machine: Machine) -> None:
    """Check that a deployment that names its processor names this machine's.

    Args:
        document: that `read_config` has read.
        machine: where it would run.

    Raises:
        Conflict: it names another.
    """
    arch = (document.get("engine") or {}).get("arch")
    if arch is None or machine.arch in {None, str(arch).lower()}:
        return
    raise Conflict(
        f"the deployment is configured for {_shown(str(arch))}",
        why=f"this machine has {machine}",
        fix="leave arch out, or deploy on a machine of that kind; TRIVET_STAND_IN=true lets this machine stand in",
        path="engine.arch",
        reason="other_machine",
    )


def config_for(document: dict[str, Any], models: Sequence[ModelVersion]) -> dict[str, Any]:
    """A configuration that was read before, for other versions of the models: resources of a model stay those of its name."""
    aux = _mapping(document.get("engineAux"), "engineAux")
    images = _mapping(aux.get("images"), "engineAux.images")
    by_name = {key.rpartition("-")[0]: image for key, image in images.items()}
    kept = {f"{each.name}-{each.id}": by_name[each.name] for each in models if each.name in by_name}
    return {**document, "engineAux": {**aux, "images": kept}} if images else document


def _resources(given: dict[str, Any], path: str) -> Resources:
    resources = _mapping(given.get("resources"), f"{path}.resources", RESOURCES)
    _mapping(resources.get("requests"), f"{path}.resources.requests", AMOUNTS)
    here = f"{path}.resources.limits"
    limits = _mapping(resources.get("limits"), here, AMOUNTS)
    gpus = next(filter(None, (limits.get("nvidia.com/gpu"), limits.get("gpu"), given.get("gpu"))), 0)
    memory = limits.get("memory")
    cpus = limits.get("cpu", given.get("cpu"))
    return Resources(
        cpus=None if cpus is None else check_cpus(cpus, path=f"{here}.cpu"),
        memory_bytes=None if memory is None else parse_memory(memory, path=f"{here}.memory"),
        gpus=check_gpus(gpus, path=f"{here}.gpu"),
        env=_variables(given.get("env"), f"{path}.env"),
    )


def _check_gpus(asked: Sequence[int], *, replicas: int, there: int) -> None:
    needed = replicas * sum(asked)
    if not needed or needed <= there:
        return
    if not there:
        raise Unsupported(
            "this machine has no GPUs",
            why="there is no /dev/nvidia0, or CUDA_VISIBLE_DEVICES of the platform hides all of them",
            fix="leave GPUs out, or start the platform where `trivet doctor` names some",
            path="engineAux.images",
        )
    raise Unsupported(
        f"this machine does not have {needed} GPUs",
        why=f"it has {there}, and {replicas} replicas need {sum(asked)} each" if replicas > 1 else f"it has {there}",
        fix="ask for fewer GPUs or replicas",
        path="engineAux.images",
    )


def _variables(given: Any, path: str) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, list):
        raise Invalid("env is not a list", fix='give [{"name": "K", "value": "V"}]', path=path)
    variables: dict[str, str] = {}
    for index, each in enumerate(given):
        entry = _mapping(each, f"{path}[{index}]", {"name", "value"})
        name, value = entry.get("name"), entry.get("value")
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            fix = "letters, digits and underscores, beginning with no digit"
            raise Invalid(f"{_shown(name)} is not a name for a variable", fix=fix, path=f"{path}[{index}].name")
        if not isinstance(value, str | int | float) or "\0" in str(value):
            raise Invalid(f"{name} has a value that is not text", fix="give a text", path=f"{path}[{index}].value")
        variables[name] = str(value)
    return variables


def _no_autoscaling(given: Any, path: str) -> None:
    if _mapping(given, path).get("type", "none") != "none":
        raise Unsupported("autoscaling is not supported yet", fix="give a replica_count", path=path)


def _mapping(given: Any, path: str, known: set[str] | None = None) -> dict[str, Any]:
    """A JSON object; an empty one for null."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Invalid(f"{path} is not an object", why=f"it is {_shown(given)}", fix="send a JSON object", path=path)
    for key in given if known is not None else ():
        if key not in known:  # type: ignore[operator]
            where = path if path == "config" else f"{path}.{key}"
            what = f"there is no {_shown(key)} in {'a deployment configuration' if path == 'config' else path}"
            raise Invalid(what, fix=f"known are {', '.join(sorted(known or ()))}", path=where)
    return given


def _shown(given: Any) -> str:
    return repr(given)[:80]

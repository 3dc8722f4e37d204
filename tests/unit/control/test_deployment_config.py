"""A deployment configuration in the reference's form: what it says, and what it cannot say."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.control.use_cases.deployment_config import read_config
from trivet.domain.deployment import DeploymentConfig, Resources
from trivet.domain.encoding import decode, encode
from trivet.domain.frameworks import Framework
from trivet.errors import Invalid, Unsupported

MODELS: Any = [
    SimpleNamespace(name="clean", id=7, uuid="u7", framework=Framework.PYTHON),
    SimpleNamespace(name="score", id=9, uuid="u9", framework=Framework.PYTHON),
]
BUILT = {
    "engine": {
        "replicas": 2,
        "cpu": 1,
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 1, "memory": "1Gi"}},
    },
    "enginelb": {},
    "engineAux": {
        "images": {
            "score-9": {
                "resources": {"limits": {"cpu": 0.5, "memory": "8Gi"}, "requests": {"cpu": 0.5, "memory": "8Gi"}},
                "env": [{"name": "K", "value": "V"}],
            }
        }
    },
    "node_selector": {},
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "engine",
        "engineAux",
        "enginelb",
        "images",
        "score-9",
        "resources",
        "limits",
        "requests",
        "cpu",
        "memory",
        "gpu",
        "env",
        "name",
        "value",
        "replicas",
        "autoscale",
        "type",
        "node_selector",
        "arch",
    ]
)
LIKELY = st.recursive(
    JSON | st.sampled_from(["1Gi", "512Mi", "none", 1, 0.5, True, -1]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def read(document: Any, *, gpus: int = 0) -> DeploymentConfig:
    return read_config(document, MODELS, log_inferences=True, gpus=gpus)


def test_what_the_builder_builds_is_read() -> None:
    assert read(BUILT) == DeploymentConfig(
        replicas=2,
        engine=Resources(cpus=1.0, memory_bytes=2**30),
        sidekicks={"u9": Resources(cpus=0.5, memory_bytes=8 * 2**30, env={"K": "V"})},
        document=BUILT,
    )


def test_an_empty_configuration_asks_for_nothing() -> None:
    assert read({}) == DeploymentConfig()


@given(st.dictionaries(KEYS, LIKELY, max_size=4))
def test_any_json_is_read_into_what_can_be_kept_or_refused(document: dict[str, Any]) -> None:
    try:
        config = read(document)
    except (Invalid, Unsupported):
        return
    kept = decode(encode(config), DeploymentConfig)
    assert (kept.replicas, kept.engine, kept.sidekicks) == (config.replicas, config.engine, config.sidekicks)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"engine": 5}, "engine"),
        ({"engine": {"resources": []}}, "engine.resources"),
        ({"engine": {"resources": {"limits": {"cpus": 1}}}}, "engine.resources.limits.cpus"),
        ({"engine": {"replicas": 0}}, "engine.replicas"),
        ({"engine": {"replicas": True}}, "engine.replicas"),
        ({"engine": {"replicas": 1.5}}, "engine.replicas"),
        ({"engine": {"cpu": -1}}, "engine.resources.limits.cpu"),
        ({"engine": {"cpu": math.nan}}, "engine.resources.limits.cpu"),
        ({"engine": {"cpu": math.inf}}, "engine.resources.limits.cpu"),
        ({"engine": {"cpu": "1"}}, "engine.resources.limits.cpu"),
        ({"engine": {"resources": {"limits": {"memory": 1.5}}}}, "engine.resources.limits.memory"),
        ({"engineAux": {"images": {"score": {}}}}, "engineAux.images.score"),
        ({"engineAux": {"images": {"score-9": {"env": {"K": "V"}}}}}, "engineAux.images.score-9.env"),
        (
            {"engineAux": {"images": {"score-9": {"env": [{"name": "A=B", "value": ""}]}}}},
            "engineAux.images.score-9.env[0].name",
        ),
        ({"engineAux": {"images": {"score-9": {"env": [{"name": "A"}]}}}}, "engineAux.images.score-9.env[0].value"),
        ({"engineAux": {"images": {"score-9": {"gpu": 0.5}}}}, "engineAux.images.score-9.resources.limits.gpu"),
        ({"motor": {}}, "config"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(document: dict[str, Any], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(document)
    assert caught.value.path == path
    assert caught.value.fix


@pytest.mark.parametrize(
    "document",
    [
        {"engine": {"gpu": 1}},
        {"engine": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
        {"engine": {"autoscale": {"type": "cpu"}}},
        {"engineAux": {"autoscale": {"type": "cpu"}}},
        {"engine": {"replicas": 2}, "engineAux": {"images": {"score-9": {"replicas": 3}}}},
    ],
)
def test_features_of_clusters_are_reported_as_not_supported_yet(document: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="not supported yet"):
        read(document)


@pytest.mark.parametrize(
    "image", [{"gpu": 2}, {"resources": {"limits": {"gpu": 2}}}, {"resources": {"limits": {"nvidia.com/gpu": 2}}}]
)
def test_gpus_of_a_worker_are_read(image: dict[str, Any]) -> None:
    config = read({"engineAux": {"images": {"score-9": image}}}, gpus=2)
    assert config.sidekicks == {"u9": Resources(gpus=2)}


@pytest.mark.parametrize(
    ("replicas", "gpus", "what", "why"),
    [
        (1, 0, "this machine has no GPUs", "CUDA_VISIBLE_DEVICES of the platform hides all of them"),
        (1, 2, "this machine does not have 3 GPUs", "it has 2"),
        (2, 4, "this machine does not have 6 GPUs", "it has 4, and 2 replicas need 3 each"),
    ],
)
def test_gpus_that_the_machine_does_not_have_are_refused(replicas: int, gpus: int, what: str, why: str) -> None:
    images = {"clean-7": {"gpu": 1}, "score-9": {"gpu": 2}}
    with pytest.raises(Unsupported) as caught:
        read({"engine": {"replicas": replicas}, "engineAux": {"images": images}}, gpus=gpus)
    assert caught.value.what == what
    assert caught.value.why is not None
    assert caught.value.why.endswith(why)
    assert caught.value.fix
    assert caught.value.path == "engineAux.images"


def test_a_publishs_autoscaling_of_type_none_and_no_gpus_are_taken() -> None:
    assert read({"engineAux": {"autoscale": {"type": "none", "cpu_utilization": 50.0}}, "engine": {"gpu": 0}})


def test_an_unknown_model_gets_the_known_names() -> None:
    with pytest.raises(Invalid, match="is not a model of this pipeline") as caught:
        read({"engineAux": {"images": {"score-8": {}}}})
    assert "clean-7, score-9" in str(caught.value)


def test_the_engines_resources_size_an_onnx_model_that_has_none_of_its_own() -> None:
    models: Any = [SimpleNamespace(name="net", id=3, uuid="u3", framework=Framework.ONNX), *MODELS]
    engine = {"cpu": 2, "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}
    config = read_config({"engine": engine}, models, log_inferences=True, gpus=0)
    assert config.sidekicks == {"u3": Resources(cpus=2.0, memory_bytes=2**30)}

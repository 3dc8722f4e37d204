"""ONNX models: which are accepted and which are refused, before anything runs them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from trivet.domain.digest import digest_of_bytes
from trivet.domain.package import Contents, Manifest, PackageFile
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import Unpacked
from trivet.packaging.frameworks.onnx import inspect

OPSET = 17


def value(name: str, shape: tuple[int | None, ...] = (None, 2)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(
    nodes: list[onnx.NodeProto],
    *,
    weights=(),
    sparse=(),
    opsets=None,
    ir: int = 8,
    functions=(),
    inputs="x",
    outputs="y",
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [value(each) for each in inputs],
        [value(each) for each in outputs],
        initializer=list(weights),
        sparse_initializer=list(sparse),
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": OPSET}).items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir)
    model.functions.extend(functions)
    return model


def add(weight: str = "w") -> list[onnx.NodeProto]:
    return [helper.make_node("Add", ["x", weight], ["y"])]


def external(name: str = "w", **keys: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, text in keys.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


def inspected(root: Path, model: onnx.ModelProto | bytes, *, name: str = "model.onnx", **others: bytes) -> Contents:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    files = {name: data} | {
        each.replace("__", "/").replace("_bin", ".bin"): content for each, content in others.items()
    }
    listed = []
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        listed.append(PackageFile(path=path, size=len(content), sha256=digest_of_bytes(content)))
    return inspect(Unpacked(root=root, manifest=Manifest(files=tuple(listed)), name=name, model=name))


def refusal(root: Path, model: onnx.ModelProto | bytes, **others: bytes) -> BadPackage:
    with pytest.raises(BadPackage) as caught:
        inspected(root, model, **others)
    assert caught.value.fix
    assert (caught.value.path or "").startswith("model.onnx")
    return caught.value


def test_a_valid_model_is_accepted(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    assert inspected(tmp_path, model_of(add(), weights=[weight])) == Contents(files={"model": "model.onnx"})


@pytest.mark.parametrize("name", ["ccfraud", "house_gbr", "house_rf", "multi_io"])
def test_models_from_other_exporters_are_accepted(tmp_path: Path, conformance: Path, name: str) -> None:
    assert inspected(tmp_path, (conformance / "onnx" / f"{name}.onnx").read_bytes())


def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path: Path, conformance: Path) -> None:
    data = (conformance / "onnx" / "ccfraud.onnx").read_bytes()
    for end in range(len(data)):
        with pytest.raises(BadPackage, match="is not an ONNX model, or is cut short"):
            inspected(tmp_path, data[:end])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"PK\3\4" + b"x" * 50, "it is a zip archive"),
        (b"<!DOCTYPE html><html></html>", "it cannot be parsed"),
        (b"\x08\x07", "there is no graph in it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it is a Git LFS pointer to one"),
        (b"\x80\x04\x95pickle", "it cannot be parsed"),
    ],
)
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    error = refusal(tmp_path, data)
    assert "not an ONNX model" in error.what
    assert reason in (error.why or "")


@given(data=st.data())
@settings(max_examples=60)
def test_damaged_files_are_accepted_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    good = bytearray(model_of(add(), weights=[weight]).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        inspected(tmp_path_factory.getbasetemp() / "damaged", bytes(good))
    except BadPackage as error:
        assert "\n" not in error.message  # noqa: PT017 - both ends are right, and this one is looked at


def test_a_model_without_inputs_or_outputs_is_refused(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    assert refusal(tmp_path, model_of([constant], inputs="")).what == "the model has no inputs"
    weight = numpy_helper.from_array(np.ones((1, 2), np.float32), "x")
    assert "is a weight" in refusal(tmp_path, model_of([constant], weights=[weight])).message
    node = helper.make_node("Identity", ["x"], ["z"])
    assert refusal(tmp_path, model_of([node], outputs="")).what == "the model has no outputs"


# --- versions


def test_a_too_new_opset_is_refused_with_the_newest_supported(tmp_path: Path) -> None:
    error = refusal(tmp_path, model_of(add("x"), opsets={"": 999}))
    assert (
        error.what == f"the model's opset 999 of ai.onnx is newer than ONNX Runtime {onnxruntime.__version__} supports"
    )
    latest = int((error.why or "").rpartition(" ")[2])
    assert error.fix == f"re-export with opset {latest}, or update onnxruntime"
    assert inspected(tmp_path, model_of(add("x"), opsets={"": latest}))
    assert refusal(tmp_path, model_of(add("x"), opsets={"ai.onnx": latest + 1})).reason == "onnx_too_new"


@pytest.mark.parametrize("version", [2**31 + 17, 2**32 + 17, 2**40, 2**63 - 1])
def test_versions_of_more_than_32_bits_are_refused(tmp_path: Path, version: int) -> None:
    error = refusal(tmp_path, model_of(add("x"), opsets={"": version}))
    assert int((error.why or "").rpartition(" ")[2]) < 1000
    error = refusal(tmp_path, model_of(add("x"), ir=version))
    assert int((error.why or "").rpartition(" ")[2]) < 1000


def test_a_too_new_opset_of_another_domain_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, model_of(add("x"), opsets={"": OPSET, "ai.onnx.ml": 99}))
    assert error.what.startswith("the model's opset 99 of ai.onnx.ml is newer than ONNX Runtime")


def test_a_too_new_ir_version_is_refused_with_the_newest_supported(tmp_path: Path) -> None:
    error = refusal(tmp_path, model_of(add("x"), ir=999))
    assert error.what == f"the model's IR version 999 is newer than ONNX Runtime {onnxruntime.__version__} supports"
    latest = int((error.why or "").rpartition(" ")[2])
    assert "re-export with opset " in (error.fix or "")
    assert inspected(tmp_path, model_of(add("x"), ir=latest))


@pytest.mark.parametrize("opset", [1, 6, 7, 13])
def test_old_opsets_are_left_to_onnx_runtime(tmp_path: Path, opset: int) -> None:
    assert inspected(tmp_path, model_of(add("x"), opsets={"": opset}, ir=3))


def test_unused_foreign_operator_sets_are_accepted(tmp_path: Path) -> None:
    assert inspected(tmp_path, model_of(add("x"), opsets={"": OPSET, "some.library": 3}))


# --- operators


@pytest.mark.parametrize(
    ("domain", "operator"),
    [
        ("my.ops", "Bloom"),
        ("org.pytorch.aten", "ATen"),
        ("com.microsoft", "EPContext"),
        ("ai.onnx.contrib", "Tokenizer"),
    ],
)
def test_custom_operators_are_refused(tmp_path: Path, domain: str, operator: str) -> None:
    node = helper.make_node(operator, ["x"], ["y"], name="the-node", domain=domain)
    error = refusal(tmp_path, model_of([node], opsets={"": OPSET, domain: 1}))
    assert error.what.endswith(f"does not have: '{domain}.{operator}'")
    assert error.path == "model.onnx: node 'the-node'"
    assert "custom model" in (error.fix or "")


def test_operators_of_onnx_runtime_itself_are_accepted(tmp_path: Path) -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    assert inspected(tmp_path, model_of([node], opsets={"": OPSET, "com.microsoft": 1}))


def function(name: str, nodes: list[onnx.NodeProto]) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["b"], nodes, imports)


def call(name: str, source: str = "a", target: str = "b") -> onnx.NodeProto:
    return helper.make_node(name, [source], [target], domain="own")


def test_the_models_own_functions_are_accepted(tmp_path: Path) -> None:
    own = function("Twice", [helper.make_node("Add", ["a", "a"], ["b"])])
    assert inspected(tmp_path, model_of([call("Twice", "x", "y")], functions=[own], opsets={"": OPSET, "own": 1}))


def test_custom_operators_are_found_in_functions_and_subgraphs(tmp_path: Path) -> None:
    foreign = helper.make_node("Bloom", ["a"], ["b"], domain="my.ops")
    own = function("Hidden", [foreign])
    assert "my.ops.Bloom" in refusal(tmp_path, model_of([call("Hidden", "x", "y")], functions=[own])).what
    graph = helper.make_graph([foreign], "then", [], [value("b")])
    node = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)
    assert "my.ops.Bloom" in refusal(tmp_path, model_of([node])).what


def test_functions_that_call_themselves_are_refused(tmp_path: Path) -> None:
    own = [function("A", [call("B")]), function("B", [call("A")])]
    assert "calls itself" in refusal(tmp_path, model_of([call("A", "x", "y")], functions=own)).message


def test_functions_that_expand_too_far_are_refused(tmp_path: Path) -> None:
    own = [function("F0", [helper.make_node("Identity", ["a"], ["b"])])]
    own += [function(f"F{i}", [call(f"F{i - 1}")] * 10) for i in range(1, 30)]
    error = refusal(tmp_path, model_of([call("F29", "x", "y")], functions=own))
    assert "become more than 100,000" in error.message
    assert inspected(tmp_path, model_of([call("F4", "x", "y")], functions=own))


def test_functions_that_differ_in_their_overload_are_all_checked(tmp_path: Path) -> None:
    plain, foreign = (
        function("F", [call("G")]),
        function("F", [helper.make_node("Bloom", ["a"], ["b"], domain="my.ops")]),
    )
    foreign.overload = "other"
    other = function("G", [helper.make_node("Identity", ["a"], ["b"])])
    for own in ([plain, foreign, other], [foreign, plain, other]):
        assert "my.ops.Bloom" in refusal(tmp_path, model_of([call("F", "x", "y")], functions=own)).what


# --- external data


def test_weights_beside_the_model_are_accepted(tmp_path: Path) -> None:
    weight = external(location="weights.bin", offset="4", length="8")
    assert inspected(tmp_path, model_of(add(), weights=[weight]), weights_bin=bytes(12))
    assert inspected(tmp_path, model_of(add(), weights=[external(location="weights.bin")]), weights_bin=bytes(8))
    assert inspected(
        tmp_path,
        model_of(add(), weights=[external(location="weights.bin")]),
        name="deep/m.onnx",
        deep__weights_bin=bytes(8),
    )


def carriers() -> dict[str, object]:
    """A model for each place of a tensor."""
    identity = helper.make_node("Identity", ["x"], ["y"])

    def sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
        return onnx.SparseTensorProto(values=values, indices=indices, dims=[4])

    def plain(name: str = "p") -> onnx.TensorProto:
        return numpy_helper.from_array(np.zeros(2, np.int64), name)

    def node(**attributes: object) -> onnx.NodeProto:
        return helper.make_node("Identity", ["x"], ["y"], **attributes)

    def lying(tensor: onnx.TensorProto) -> onnx.NodeProto:
        attribute = onnx.AttributeProto(name="lies", type=onnx.AttributeProto.FLOAT, t=tensor)
        made = helper.make_node("Identity", ["x"], ["y"])
        made.attribute.append(attribute)
        return made

    def subgraph(tensor: onnx.TensorProto) -> onnx.GraphProto:
        return helper.make_graph([identity], "sub", [], [value("y")], initializer=[tensor])

    def trained(tensor: onnx.TensorProto) -> onnx.ModelProto:
        model = model_of([identity])
        model.training_info.add().algorithm.CopyFrom(subgraph(tensor))
        return model

    def in_function(tensor: onnx.TensorProto) -> onnx.ModelProto:
        own = function("F", [helper.make_node("Constant", [], ["b"], value=tensor)])
        return model_of([call("F", "x", "y")], functions=[own])

    def in_function_default(tensor: onnx.TensorProto) -> onnx.ModelProto:
        own = function("F", [helper.make_node("Identity", ["a"], ["b"])])
        own.attribute_proto.append(helper.make_attribute("d", tensor))
        return model_of([call("F", "x", "y")], functions=[own])

    def quiet(tensor: onnx.TensorProto) -> onnx.ModelProto:
        tensor.data_location = TensorProto.DEFAULT
        return model_of([identity], weights=[tensor])

    return {
        "an initializer": lambda t: model_of([identity], weights=[t]),
        "sparse values": lambda t: model_of([identity], sparse=[sparse(t, plain())]),
        "sparse indices": lambda t: model_of([identity], sparse=[sparse(plain(), t)]),
        "an attribute": lambda t: model_of([node(value=t)]),
        "a list in an attribute": lambda t: model_of([node(values=[t, t])]),
        "a sparse attribute": lambda t: model_of([node(value=sparse(plain(), t))]),
        "a list of sparse ones": lambda t: model_of([node(values=[sparse(t, plain())])]),
        "an attribute that lies about its type": lambda t: model_of([lying(t)]),
        "a subgraph": lambda t: model_of([node(body=subgraph(t))]),
        "a list of subgraphs": lambda t: model_of([node(bodies=[subgraph(t)])]),
        "a subgraph of a subgraph": lambda t: model_of(
            [node(body=helper.make_graph([node(body=subgraph(t))], "outer", [], [value("y")]))]
        ),
        "a function": in_function,
        "a function's default": in_function_default,
        "training": trained,
        "one that does not say that it is external": quiet,
    }


CARRIERS = carriers()
OUTSIDE = [
    "/etc/passwd",
    "../secret.bin",
    "sub/weights.bin",
    "./weights.bin",
    "..",
    ".",
    "",
    "sub\\weights.bin",
    "C:weights.bin",
    "weights.bin\0",
    "*/_ORT_MEM_ADDR_/*",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("where", CARRIERS)
def test_a_tensor_anywhere_may_not_name_a_file_elsewhere(tmp_path: Path, where: str) -> None:
    model = CARRIERS[where](external(location="../secret.bin"))
    error = refusal(tmp_path, model)
    assert error.what == "the model reads a file that is not its own"
    assert error.path == "model.onnx: tensor 'w'"


@pytest.mark.parametrize("where", CARRIERS)
def test_a_tensor_anywhere_may_name_a_file_beside_the_model(tmp_path: Path, where: str) -> None:
    model = CARRIERS[where](external(location="weights.bin"))
    assert inspected(tmp_path, model, weights_bin=bytes(64))


@pytest.mark.parametrize("location", OUTSIDE)
def test_only_plain_file_names_are_locations(tmp_path: Path, location: str) -> None:
    (tmp_path / "sub").mkdir()
    model = model_of(add(), weights=[external(location=location)])
    error = refusal(tmp_path, model, weights_bin=bytes(8), sub__weights_bin=bytes(8))
    assert error.reason == "onnx_external_data"
    assert "\n" not in error.message


def test_missing_weights_are_reported(tmp_path: Path) -> None:
    error = refusal(tmp_path, model_of(add(), weights=[external(location="weights.bin")]))
    assert error.what == "the model's weights are missing"
    assert "'weights.bin'" in (error.why or "")
    assert error.fix == "put both files into a folder or a zip, and upload that"


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"offset": "-1"}, "offset '-1' is not a number of bytes"),
        ({"offset": "1e3"}, "offset '1e3' is not a number of bytes"),
        ({"length": "9" * 30}, "is not a number of bytes"),
        ({"length": "4"}, "it has 4 bytes, and its shape and type need 8"),
        ({"offset": "4"}, "its values end at byte 12 of 'weights.bin', which has 8"),
        ({"basepath": "/etc"}, "'basepath' is not a key of the format"),
    ],
)
def test_external_data_outside_of_its_file_is_refused(tmp_path: Path, keys: dict[str, str], why: str) -> None:
    weight = external(location="weights.bin", **keys)
    assert why in refusal(tmp_path, model_of(add(), weights=[weight]), weights_bin=bytes(8)).message


def test_a_location_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    weight = external(location="weights.bin")
    weight.external_data.add(key="location", value="/etc/passwd")
    error = refusal(tmp_path, model_of(add(), weights=[weight]), weights_bin=bytes(8))
    assert "'location' occurs twice" in error.message


def test_invalid_shapes_and_types_of_external_data_are_refused(tmp_path: Path) -> None:
    weight = external(location="weights.bin")
    weight.dims[:] = [-1]
    assert "its shape is [-1]" in refusal(tmp_path, model_of(add(), weights=[weight]), weights_bin=bytes(8)).message
    weight.dims[:] = [2**40, 2**40]
    assert (
        "its values end at byte" in refusal(tmp_path, model_of(add(), weights=[weight]), weights_bin=bytes(8)).message
    )
    weight = external(location="weights.bin")
    weight.data_type = TensorProto.STRING
    assert "strings" in refusal(tmp_path, model_of(add(), weights=[weight]), weights_bin=bytes(8)).message


def test_a_sparse_tensor_that_becomes_huge_is_refused(tmp_path: Path) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[2**20, 2**20])
    error = refusal(tmp_path, model_of(add(), sparse=[sparse]))
    assert error.what == "a sparse tensor is too large"

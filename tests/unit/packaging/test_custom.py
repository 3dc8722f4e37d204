"""Custom models: their classes in the sources, and the errors for missing parts."""

import textwrap
from pathlib import Path

import pytest

from trivet.domain.digest import digest_of_bytes
from trivet.domain.package import Contents, EntryPoint, Manifest, PackageFile
from trivet.errors import BadPackage
from trivet.packaging.frameworks.custom import inspect
from trivet.packaging.frameworks.detect import inspect_package
from trivet.packaging.frameworks.inspection import Unpacked

HEAD = """\
    from typing import Any, Dict, List, Optional, Set
    import numpy as np
    from mac.inference import Inference
    from mac.inference.creation import InferenceBuilder
    from mac.types import InferenceData
"""
INFERENCE = """\
    class Clusters(Inference):
        @property
        def expected_model_types(self) -> Set[Any]:
            return {int}

        @Inference.model.setter
        def model(self, model) -> None:
            self._model = model

        def _predict(self, input_data: InferenceData) -> InferenceData:
            return input_data
"""
BUILDER = """\
    class ClustersBuilder(InferenceBuilder):
        @property
        def inference(self) -> Clusters:
            return Clusters

        def create(self, config) -> Clusters:
            return self.inference()
"""


def source(*parts: str) -> str:
    return "\n\n".join(textwrap.dedent(part) for part in parts)


GOOD = source(HEAD, INFERENCE, BUILDER)


def unpacked(root: Path, files: dict[str, str | bytes]) -> Unpacked:
    files = {"requirements.txt": "", **files}
    listed = []
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        listed.append(PackageFile(path=name, size=len(data), sha256=digest_of_bytes(data)))
    manifest = Manifest(files=tuple(sorted(listed, key=lambda each: each.path)))
    return Unpacked(root=root, manifest=manifest, name="clusters.zip")


def inspected(root: Path, files: dict[str, str | bytes]) -> Contents:
    return inspect(unpacked(root, files))


def refusal(root: Path, files: dict[str, str | bytes]) -> BadPackage:
    with pytest.raises(BadPackage) as caught:
        inspected(root, files)
    assert caught.value.fix
    return caught.value


def names(contents: Contents) -> tuple[str, str]:
    return contents.entry["inference"].name, contents.entry["builder"].name


def test_both_classes_are_found_with_file_and_line(tmp_path: Path) -> None:
    contents = inspected(tmp_path, {"custom-inference.py": GOOD})
    assert contents == Contents(
        entry={
            "inference": EntryPoint(file="custom-inference.py", name="Clusters", line=8),
            "builder": EntryPoint(file="custom-inference.py", name="ClustersBuilder", line=21),
        }
    )


def test_the_example_of_the_reference_is_accepted(tmp_path: Path, reference: Path) -> None:
    text = next(reference.glob("001*.txt")).read_text()
    begin = text.index('"""This module features an example implementation')
    end = text.index("The following is the requirements.txt file", begin)
    contents = inspected(tmp_path, {"custom_inference.py": text[begin:end]})
    assert names(contents) == ("ImageClustering", "ImageClusteringBuilder")


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from mac.inference import Inference as X", "X"),
        ("import mac.inference as mi", "mi.Inference"),
        ("import mac.inference", "mac.inference.Inference"),
        ("import mac", "mac.inference.Inference"),
        ("from mac import inference", "inference.Inference"),
        ("from mac.inference import *", "Inference"),
        ("from mac.inference import Inference\nBase = Inference", "Base"),
        ("import mac.inference\nBase: type = mac.inference.Inference\nOther = Base", "Other"),
        ("try:\n    from mac.inference import Inference\nexcept ImportError:\n    Inference = object", "Inference"),
        ("try:\n    from mac.inference import Inference\nexcept ImportError:\n    class Inference: ...", "Inference"),
        ("if True:\n    with open('x'):\n        from mac.inference import Inference", "Inference"),
        ("import abc\nfrom mac.inference import Inference", "Inference, abc.ABC"),
        (
            "from typing import Generic, TypeVar\nfrom mac.inference import Inference\nT = TypeVar('T')",
            "Inference, Generic[T]",
        ),
        ("def make(): ...\nfrom mac.inference import Inference", "make(), Inference"),
    ],
)
def test_the_base_is_recognised_in_every_form_of_import(tmp_path: Path, imports: str, base: str) -> None:
    clusters = textwrap.dedent(INFERENCE).replace("(Inference)", f"({base})").replace("Inference.model", "property")
    rest = source("from mac.inference.creation import InferenceBuilder\nfrom typing import *", BUILDER)
    contents = inspected(tmp_path, {"model.py": f"{imports}\n{clusters}\n{rest}"})
    assert names(contents) == ("Clusters", "ClustersBuilder")


def test_classes_inside_try_and_if_are_found(tmp_path: Path) -> None:
    indented = textwrap.indent(source(INFERENCE, BUILDER), "    ")
    text = f"{source(HEAD)}\ntry:\n{indented}\nfinally:\n    pass\n"
    assert names(inspected(tmp_path, {"model.py": text})) == ("Clusters", "ClustersBuilder")


def test_code_for_scripts_is_ignored(tmp_path: Path) -> None:
    script = 'if __name__ == "__main__":\n    class Trial(Inference): ...\n'
    assert names(inspected(tmp_path, {"model.py": GOOD + script})) == ("Clusters", "ClustersBuilder")


@pytest.mark.parametrize(
    ("where", "imports"),
    [
        ("base.py", "from base import Base"),
        ("lib/base.py", "from lib.base import Base"),
        ("lib/base.py", "import lib.base\nBase = lib.base.Base"),
        ("lib/base.py", "import sys; sys.path.append('lib')\nfrom base import Base"),
        ("lib/__init__.py", "from lib import Base"),
        ("lib/__init__.py", "from lib import *"),
    ],
)
def test_members_may_come_from_a_base_elsewhere_in_the_package(tmp_path: Path, where: str, imports: str) -> None:
    base = source(HEAD, INFERENCE.replace("Clusters", "Base").replace("(Inference)", "(Inference, abc.ABC)"))
    own = f"{imports}\nclass Clusters(Base):\n    pass\n"
    text = source(HEAD) + own + source(BUILDER)
    contents = inspected(tmp_path, {"model.py": text, where: "import abc\n" + base})
    assert contents.entry["inference"].file == "model.py"
    assert names(contents) == ("Clusters", "ClustersBuilder")


def test_relative_imports_and_re_exports_are_followed(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "pkg/__init__.py": "from .deep.base import Thing as Base\n",
        "pkg/deep/__init__.py": "",
        "pkg/deep/base.py": "from ..origin import Root\nclass Thing(Root):\n    '''Nothing of its own.'''\n",
        "pkg/origin.py": source(HEAD, INFERENCE.replace("Clusters", "Root")).replace("def _predict", "def _other"),
        "model.py": "from pkg import Base\nclass Clusters(Base):\n    def _predict(self, input_data): ...\n",
        "builder.py": source(HEAD, BUILDER),
    }
    contents = inspected(tmp_path, files)
    assert (contents.entry["inference"].file, contents.entry["builder"].file) == ("model.py", "builder.py")


def test_a_base_is_found_by_the_name_of_the_packages_own_folder(tmp_path: Path) -> None:
    base = "import abc\n" + source(HEAD, INFERENCE.replace("Clusters(Inference)", "Base(Inference, abc.ABC)"))
    own = "from mymodel.base import Base\nclass Clusters(Base):\n    pass\n"
    files: dict[str, str | bytes] = {
        "__init__.py": "",
        "base.py": base,
        "model.py": source(HEAD) + own + source(BUILDER),
    }
    assert names(inspected(tmp_path, files)) == ("Clusters", "ClustersBuilder")


def test_an_abstract_class_in_between_is_not_a_candidate(tmp_path: Path) -> None:
    between = """\
        import abc

        class Between(Inference):
            @property
            def expected_model_types(self): return {int}

            @abc.abstractmethod
            def _predict(self, input_data): ...

        class Clusters(Between):
            def _predict(self, input_data): ...
    """
    text = source(HEAD, between, BUILDER)
    assert names(inspected(tmp_path, {"model.py": text})) == ("Clusters", "ClustersBuilder")


def test_classes_in_folders_count_only_if_the_top_has_none(tmp_path: Path) -> None:
    old = GOOD.replace("Clusters", "Old")
    assert names(inspected(tmp_path / "a", {"model.py": GOOD, "tests/old.py": old})) == ("Clusters", "ClustersBuilder")
    assert names(inspected(tmp_path / "b", {"start.py": "", "src/old.py": old})) == ("Old", "OldBuilder")


def test_installed_packages_and_hidden_folders_are_not_read(tmp_path: Path) -> None:
    other = GOOD.replace("Clusters", "Other")
    files: dict[str, str | bytes] = {"src/model.py": GOOD, ".venv/x.py": other, "env/site-packages/y.py": other}
    assert names(inspected(tmp_path, files)) == ("Clusters", "ClustersBuilder")


@pytest.mark.parametrize(
    "types",
    [
        "    expected_model_types = {int}",
        "    expected_model_types: Set[Any] = {int}",
        "    def expected_model_types(self):\n        return {int}",
    ],
)
def test_expected_model_types_may_be_written_in_several_ways(tmp_path: Path, types: str) -> None:
    clusters = f"class Clusters(Inference):\n{types}\n    def _predict(self, input_data): ...\n"
    assert inspected(tmp_path, {"model.py": source(HEAD) + clusters + source(BUILDER)})


def test_a_predict_of_its_own_replaces_predict_with_an_underscore(tmp_path: Path) -> None:
    assert inspected(tmp_path, {"model.py": GOOD.replace("def _predict", "def predict")})


# --- the checks, in their order


def test_missing_requirements_count_as_empty_if_configured_so(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(GOOD + "import pandas\n")
    file = PackageFile(path="model.py", size=len(GOOD), sha256=digest_of_bytes(b""))
    manifest = Manifest(files=(file,))
    found = inspect(Unpacked(root=tmp_path, manifest=manifest, name="clusters.zip", requirements_required=False))
    assert found.requirements == ("pandas",)
    assert found.notes[0] == "there is no requirements.txt at the top of clusters.zip: it counts as empty"


def test_missing_requirements_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("class Nothing: ...")
    file = PackageFile(path="model.py", size=18, sha256=digest_of_bytes(b""))
    with pytest.raises(BadPackage) as caught:
        inspect(Unpacked(root=tmp_path, manifest=Manifest(files=(file,)), name="clusters.zip"))
    assert str(caught.value) == (
        "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file\n"
        "  at  requirements.txt\n"
        "  fix add a requirements.txt to the top of clusters.zip; it may be empty"
    )


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("lib/requirements.txt", "move lib/requirements.txt to the top of clusters.zip, or upload only the folder lib"),
        ("Requirements.TXT", "rename Requirements.TXT to requirements.txt"),
    ],
)
def test_misplaced_requirements_are_reported_with_their_path(tmp_path: Path, name: str, fix: str) -> None:
    file = PackageFile(path=name, size=0, sha256=digest_of_bytes(b""))
    with pytest.raises(BadPackage) as caught:
        inspect(Unpacked(root=tmp_path, manifest=Manifest(files=(file,)), name="clusters.zip"))
    assert caught.value.fix == fix


def test_requirements_are_read_before_the_sources(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"requirements.txt": "numpy=1\n", "model.py": "def :"})
    assert error.message == "Could not parse user provided requirements.txt: 'numpy=1' is not a requirement"
    assert error.path == "requirements.txt:1"


def test_a_package_without_modules_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.pkl": b"\x80"})
    assert error.message == "No Python modules found in the model directory: clusters.zip"


def test_unreadable_modules_are_reported_with_their_own_error(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.py": "import x\nclass :\n", "other.py": "print 1"})
    assert error.what == "No Python modules found in the model directory: clusters.zip"
    assert "SyntaxError: invalid syntax" in (error.why or "")
    assert error.path == "model.py:2"


@pytest.mark.parametrize(
    "data", [b"x = 1\0", "x = 'é'".encode("latin-1"), b"# -*- coding: nonsense -*-\n", b"x = " + b"(" * 5000]
)
def test_invalid_python_text_is_an_error_and_not_a_crash(tmp_path: Path, data: bytes) -> None:
    assert refusal(tmp_path, {"model.py": data}).path in {"model.py", "model.py:1"}


def test_deeply_nested_source_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.py": "x = " + "-" * 100_000 + "1"})
    assert error.what.startswith("No Python modules found in the model directory")


def test_invalid_escapes_in_sources_do_not_warn(tmp_path: Path) -> None:
    assert inspected(tmp_path, {"model.py": GOOD + "\nPATTERN = '\\d'\n"})


def test_a_broken_module_beside_good_ones_is_reported(tmp_path: Path) -> None:
    notes = inspected(tmp_path, {"model.py": GOOD, "python2.py": "print 'x'\n"}).notes
    assert len(notes) == 1
    assert notes[0].startswith("python2.py:1 is ignored: SyntaxError: Missing parentheses")


def test_a_broken_module_that_the_model_always_imports_is_an_error(tmp_path: Path) -> None:
    files = {"model.py": "import steps\n" + GOOD, "steps.py": "from helper import f\n", "helper.py": "def f(:\n"}
    with pytest.raises(BadPackage) as error:
        inspect_package(unpacked(tmp_path, files), framework=None)
    assert error.value.message.startswith("helper.py cannot be read, and the model imports it: SyntaxError: ")
    assert error.value.path == "helper.py:1"


def test_a_broken_module_behind_a_condition_is_reported(tmp_path: Path) -> None:
    files = {"model.py": "try:\n    import fast\nexcept Exception:\n    fast = None\n" + GOOD, "fast.py": "print 'x'\n"}
    _, contents = inspect_package(unpacked(tmp_path, files), framework=None)
    assert contents.notes[0].startswith("fast.py:1 is ignored: SyntaxError")


def test_no_class_that_extends_inference(tmp_path: Path) -> None:
    text = source(HEAD, INFERENCE.replace("(Inference)", ""), BUILDER)
    error = refusal(tmp_path, {"model.py": text})
    assert error.message == "No Inference-inherited class found in the model directory: Clusters extends nothing"
    assert error.path == "model.py:8"
    assert error.fix == (
        "write a class that extends Inference, at the top level of a module, after 'from mac.inference import Inference'"
    )


def test_a_class_that_extends_another_inference_is_not_a_candidate(tmp_path: Path) -> None:
    text = source(HEAD, INFERENCE, BUILDER).replace("from mac.inference import", "from other.inference import")
    assert "Clusters extends other.inference.Inference" in refusal(tmp_path, {"model.py": text}).message


def test_no_class_that_extends_inference_builder(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.py": source(HEAD, INFERENCE)})
    assert error.message == "No InferenceBuilder-inherited class found in the model directory"
    assert "from mac.inference.creation import InferenceBuilder" in (error.fix or "")


def test_a_missing_class_that_a_broken_module_may_hold(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.py": source(HEAD, INFERENCE), "builder.py": "class Builder(\n"})
    assert error.what == "No InferenceBuilder-inherited class found in the model directory"
    assert error.path == "builder.py:1"
    assert "builder.py cannot be read" in (error.why or "")


def test_two_inference_classes(tmp_path: Path) -> None:
    text = source(HEAD, INFERENCE, INFERENCE.replace("Clusters", "Again"), BUILDER)
    error = refusal(tmp_path, {"model.py": text})
    assert error.message == "Multiple Inference-inherited classes found: ['Clusters', 'Again'].  Only one is allowed."
    assert error.path == "model.py:8, model.py:21"


def test_two_builders_in_two_files(tmp_path: Path) -> None:
    other = source(HEAD, BUILDER.replace("ClustersBuilder", "Other"))
    error = refusal(tmp_path, {"a.py": GOOD, "b.py": other})
    assert error.what.startswith("Multiple InferenceBuilder-inherited classes found: ['ClustersBuilder', 'Other'].")
    assert error.path == "a.py:21, b.py:8"


def test_a_complete_base_beside_its_subclass_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.py": source(HEAD, INFERENCE, "class More(Clusters): ...", BUILDER)})
    assert error.what.startswith("Multiple Inference-inherited classes found: ['Clusters', 'More'].")
    assert error.fix == "make the class that others extend abstract, as in 'class Base(Inference, abc.ABC)'"


@pytest.mark.parametrize(
    ("removed", "what", "path"),
    [
        (
            "inference",
            "The InferenceBuilder class must contain the inference method. ClustersBuilder has no inference",
            21,
        ),
        ("create", "The InferenceBuilder class must contain the create method. ClustersBuilder has no create", 21),
        ("_predict", "The Inference class must contain the predict method. Clusters has no _predict", 8),
        (
            "expected_model_types",
            "The Inference class must contain the expected_model_types method. Clusters has no expected_model_types",
            8,
        ),
    ],
)
def test_a_missing_member_is_reported_with_its_class(tmp_path: Path, removed: str, what: str, path: int) -> None:
    error = refusal(tmp_path, {"model.py": GOOD.replace(f"def {removed}(", "def something_else(")})
    assert error.message == what
    assert error.path == f"model.py:{path}"
    assert removed in (error.fix or "")


def test_the_builder_is_checked_before_the_inference(tmp_path: Path) -> None:
    text = (
        GOOD.replace("def _predict", "def x")
        .replace("def create", "def y")
        .replace("def expected_model_types", "def z")
    )
    assert "create" in refusal(tmp_path / "a", {"model.py": text}).what
    assert "predict" in refusal(tmp_path / "b", {"model.py": text.replace("def y", "def create")}).what


def test_an_abstract_member_counts_as_missing(tmp_path: Path) -> None:
    text = GOOD.replace("    def _predict", "    @abstractmethod\n    def _predict")
    assert refusal(tmp_path, {"model.py": text}).message.endswith("Clusters has only an abstract _predict")


def test_a_base_outside_the_package_may_have_the_missing_member(tmp_path: Path) -> None:
    text = GOOD.replace("(Inference)", "(some_library.Mixin, Inference)").replace("def _predict", "def other")
    notes = inspected(tmp_path, {"model.py": text}).notes
    assert notes == ("model.py:8: Clusters does not define _predict, and may inherit it from some_library.Mixin",)


@pytest.mark.parametrize(
    "annotation",
    [
        "int",
        "None",
        "list",
        "List[float]",
        "np.ndarray",
        "'np.ndarray'",
        "numpy.ndarray",
        "pd.DataFrame",
        "Frame",
        "Dict[str, float]",
        "Dict[int, np.ndarray]",
        "dict[str, list[float]]",
        "dict[str, pd.DataFrame]",
        "Rows",
        "Plain",
    ],
)
def test_an_argument_that_is_not_a_dictionary_of_arrays_is_refused(tmp_path: Path, annotation: str) -> None:
    more = "import numpy, pandas as pd\nfrom pandas import DataFrame as Frame\nRows = List[float]\nclass Plain: ...\n"
    text = GOOD.replace("input_data: InferenceData", f"input_data: {annotation}")
    error = refusal(tmp_path, {"model.py": more + text})
    assert error.what.startswith("The Inference class's predict method may only accept a dictionary of numpy arrays.")
    assert "Clusters._predict expects " in error.what
    assert error.path == "model.py:21"


@pytest.mark.parametrize(
    "annotation",
    [
        "InferenceData",
        "'InferenceData'",
        "mac.types.InferenceData",
        "Dict[str, np.ndarray]",
        "dict[str, 'np.ndarray']",
        "Dict[str, np.ndarray[Any, Any]]",
        "dict[str, npt.NDArray[np.float32]]",
        "Dict[str, Any]",
        "Dict",
        "dict",
        "Any",
        "Optional[InferenceData]",
        "dict | None",
        "Arrays",
        "Inputs",
        "Unknown",
        "'not an expression'",
    ],
)
def test_possible_dictionaries_of_arrays_are_accepted(tmp_path: Path, annotation: str) -> None:
    more = "import mac.types\nimport numpy.typing as npt\nfrom kinds import Inputs\nArrays = Dict[str, np.ndarray]\n"
    kinds = "import typing\nclass Inputs(typing.TypedDict):\n    a: int\n"
    text = GOOD.replace("input_data: InferenceData", f"input_data: {annotation}")
    assert inspected(tmp_path, {"model.py": more + text, "kinds.py": kinds})


def test_an_argument_without_annotation_is_accepted(tmp_path: Path) -> None:
    assert inspected(tmp_path, {"model.py": GOOD.replace("input_data: InferenceData) -> InferenceData", "x) -> int")})


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ("self", False),
        ("self, a, b", False),
        ("self, a, *, b", False),
        ("self, a, b=1", True),
        ("self, a, *rest, **more", True),
        ("self, *all", True),
        ("self, a, /, *, b=2", True),
    ],
)
def test_predict_is_called_with_one_argument(tmp_path: Path, arguments: str, *, taken: bool) -> None:
    text = GOOD.replace("self, input_data: InferenceData", arguments)
    if taken:
        assert inspected(tmp_path, {"model.py": text})
    else:
        assert "Clusters._predict takes " in refusal(tmp_path, {"model.py": text}).what


def test_an_async_predict_is_accepted(tmp_path: Path) -> None:
    assert inspected(tmp_path, {"model.py": GOOD.replace("    def _predict", "    async def _predict")})


def test_create_takes_the_config(tmp_path: Path) -> None:
    error = refusal(tmp_path, {"model.py": GOOD.replace("def create(self, config)", "def create(self)")})
    assert error.message == (
        "The InferenceBuilder class's create method must take one argument. ClustersBuilder.create takes no argument"
    )


def test_classes_that_extend_each_other_do_not_loop(tmp_path: Path) -> None:
    text = "from b import B\nclass A(B): ...\n"
    error = refusal(
        tmp_path, {"a.py": text, "b.py": text.replace("b", "a").replace("B", "C").replace("A(", "B(").replace("C", "A")}
    )
    assert error.what == "No Inference-inherited class found in the model directory"


def test_a_long_chain_of_classes_is_refused_quickly(tmp_path: Path) -> None:
    chain = "".join(f"class A{i}(A{i - 1}): ...\n" for i in range(1, 20_000))
    error = refusal(tmp_path, {"model.py": f"{source(HEAD)}\nA0 = Inference\n{chain}"})
    assert error.what.startswith("Multiple Inference-inherited classes found: ['A1', 'A2', ")
    assert len(str(error)) < 1000


def test_a_long_chain_of_names_ends(tmp_path: Path) -> None:
    names_in_chain = "".join(f"n{i} = n{i - 1}\n" for i in range(1, 20_000))
    text = f"{source(HEAD)}\nn0 = Inference\n{names_in_chain}class A(n19999): ...\n"
    assert refusal(tmp_path, {"model.py": text}).what == "No Inference-inherited class found in the model directory"


@pytest.mark.parametrize(
    "text",
    [
        "import pandas as pd\n",
        "from pandas.api import types\n",
        "def late():\n    import pandas\n",
    ],
)
def test_pandas_is_added_if_the_package_imports_it(tmp_path: Path, text: str) -> None:
    found = inspected(tmp_path, {"model.py": GOOD, "prepare.py": text, "requirements.txt": "scikit-learn\n"})
    assert found.requirements == ("scikit-learn", "pandas")
    line = 2 if text.startswith("def") else 1
    (note,) = found.notes
    assert note == (
        f"pandas is added to the environment, because prepare.py:{line} imports it and requirements.txt does not name it; "
        "add a line such as 'pandas==…' to requirements.txt to keep its version"
    )


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "Pandas==1.5.3\n", "prepare.py": "import pandas\n"},
        {"pandas/__init__.py": "", "prepare.py": "import pandas\n"},
        {"prepare.py": "from . import pandas\nimport numpy, pyarrow\n"},
    ],
    ids=["required", "its own", "not imported"],
)
def test_pandas_is_not_added_without_need(tmp_path: Path, files: dict[str, str]) -> None:
    found = inspected(tmp_path, {"model.py": GOOD, **files})
    assert found.requirements == (("Pandas==1.5.3",) if "requirements.txt" in files else ())
    assert found.notes == ()

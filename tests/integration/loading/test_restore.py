"""The files and the environment of a loaded version are found without work, and restored if they are missing."""

import datetime
import shutil
import textwrap

import msgspec
import pyarrow as pa
import pytest

from trivet.blobs import open_blobs
from trivet.domain.digest import digest_of_file
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.version import Acceleration, Architecture, LoadedModel, ModelVersion, VersionStatus
from trivet.errors import Internal, NotFound, Unavailable
from trivet.loading.environments import environment_store
from trivet.loading.restore import environment_of, native_root, package_root, scratch_folder
from trivet.settings import Settings

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
NUMBERS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
SUMS = pa.schema([pa.field("y", pa.float32())])


@pytest.fixture
def blobs(bench):
    return open_blobs(None, home=bench.home)


@pytest.fixture
def uploaded(bench, blobs):
    """`uploaded(path)`: a version whose file is in the blob store."""

    def upload(path) -> ModelVersion:
        with path.open("rb") as file:
            sha, size = blobs.put(file)
        return ModelVersion(
            id=1, uuid="u", model_id=1, name="m", workspace_id=1, number=1, file_name=path.name, sha=sha, size=size,
            framework=Framework.CUSTOM, arch=Architecture.X86, accel=Acceleration.NONE, visibility="private",
            settings=ModelSettings(), status=VersionStatus.READY, fault=None, loaded=None, config=None,
            created_by="me", created_at=NOW, updated_at=NOW,
        )  # fmt: skip

    return upload


def test_files_are_unpacked_from_the_blob_once_and_then_found_without_it(bench, blobs, uploaded):
    path = bench.custom()
    version = uploaded(path)
    assert version.sha == digest_of_file(path)
    root = package_root(version, blobs=blobs, home=bench.home)
    assert (root / "custom_inference.py").read_text() == textwrap.dedent(bench.module())
    blobs.delete(version.sha)
    assert package_root(version, blobs=blobs, home=bench.home) == root
    assert list((bench.home / "tmp").glob("*/*")) == []


def test_a_plain_file_is_kept_under_a_name_of_the_stores_own(bench, blobs, uploaded):
    root = package_root(uploaded(bench.sum_onnx()), blobs=blobs, home=bench.home)
    assert [path.name for path in root.iterdir()] == ["model.onnx"]


def test_a_converted_file_is_fetched_like_a_package(bench, blobs, uploaded):
    version = uploaded(bench.custom())
    with bench.sum_onnx().open("rb") as file:
        converted, _ = blobs.put(file)
    loaded = LoadedModel(
        runtime=Runtime.NATIVE,
        files={"model": "clusters.pkl"},
        converted=converted,
        input_schema=NUMBERS,
        output_schema=SUMS,
    )
    root = native_root(version, loaded, blobs=blobs, home=bench.home)
    assert digest_of_file(root / loaded.native_file) == converted
    blobs.delete(converted)
    assert native_root(version, loaded, blobs=blobs, home=bench.home) == root
    own = msgspec.structs.replace(loaded, converted=None)
    assert native_root(version, own, blobs=blobs, home=bench.home) == package_root(
        version, blobs=blobs, home=bench.home
    )
    assert own.native_file == "clusters.pkl"


def test_files_that_a_model_spoilt_are_unpacked_again(bench, blobs, uploaded):
    version = uploaded(bench.custom())
    root = package_root(version, blobs=blobs, home=bench.home)
    root.chmod(0o700)
    (root / "custom_inference.py").unlink()
    assert package_root(version, blobs=blobs, home=bench.home) == root
    assert (root / "custom_inference.py").exists()


def test_a_missing_package_is_reported(bench, blobs, uploaded):
    version = uploaded(bench.custom())
    blobs.delete(version.sha)
    with pytest.raises(NotFound, match="Stored package .* not found"):
        package_root(version, blobs=blobs, home=bench.home)


def test_an_environment_is_found_by_its_digest_without_a_build(bench):
    loaded = bench.run(bench.custom(), input_schema=NUMBERS, output_schema=SUMS)
    reports = []
    settings = Settings(home=bench.home, offline=True)
    found = environment_of(loaded, settings, lambda *what: reports.append(what))
    assert found.digest == loaded.environment
    assert found.python.exists()
    assert found.python_version == loaded.python_version
    assert reports == []


@pytest.mark.usefixtures("own_environments")
def test_a_pruned_environment_is_built_again(bench):
    loaded = bench.run(bench.custom(), input_schema=NUMBERS, output_schema=SUMS)
    assert {line.partition("==")[0] for line in loaded.packages} >= {"numpy", "pyarrow"}
    assert environment_store(bench.settings).prune()
    reports = []
    built = environment_of(loaded, bench.settings, lambda stage, detail, *_: reports.append((stage, detail)))
    assert built.digest == loaded.environment
    assert built.python.exists()
    assert reports[0][0] == "resolving"
    assert "was pruned; rebuilding it" in reports[0][1]
    assert "warning" not in [stage for stage, _ in reports]


def test_a_native_model_has_no_environment():
    loaded = LoadedModel(runtime=Runtime.NATIVE, adapter="onnx", input_schema=NUMBERS, output_schema=SUMS)
    with pytest.raises(Internal):
        environment_of(loaded, Settings(home="/nonexistent"), lambda *_: None)


def test_scratch_folders_are_removed_and_an_unusable_home_is_named(bench):
    with scratch_folder(bench.home) as folder:
        (folder / "x").write_text("x")
    assert not folder.exists()
    shutil.rmtree(bench.home / "tmp")
    (bench.home / "tmp").write_text("in the way")
    with (
        pytest.raises(Unavailable, match="tmp cannot be read from or written to") as caught,
        scratch_folder(bench.home),
    ):
        pass
    assert caught.value.reason == "home_not_writable"

"""What a worker says about the exceptions that most packages of beginners raise."""

import errno
import os
import pickle

import pytest

from trivet_worker.hints import fix_for


@pytest.fixture
def root(tmp_path):
    (tmp_path / "package" / "data").mkdir(parents=True)
    for name in ("model.pkl", "data/table.csv"):
        (tmp_path / "package" / name).write_text("x")
    return os.path.realpath(tmp_path / "package")


def missing(name, number=errno.ENOENT):
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.pkl", "config.model_path / 'model.pkl'"),
        ("./model.pkl", "config.model_path / 'model.pkl'"),
        ("data/table.csv", "config.model_path / 'data' / 'table.csv'"),
        ("table.csv", "Path(__file__).parent / 'data' / 'table.csv'"),
        ("/elsewhere/churn/data/table.csv", "config.model_path / 'data' / 'table.csv'"),
        (b"model.pkl", "config.model_path / 'model.pkl'"),
    ],
)
def test_a_file_that_the_package_has_is_opened_by_the_packages_folder(root, name, place):
    for number in (errno.ENOENT, errno.EACCES):
        fix = fix_for(missing(name, number), root)
        assert fix.startswith("the package has ")
        assert place in fix


def test_a_file_of_another_machine_belongs_into_the_package(root):
    assert fix_for(missing("/elsewhere/gone.pkl"), root).startswith("put gone.pkl into the package, and open it as ")


def test_what_is_not_known_has_no_fix(root):
    inside = f"{root}/gone.pkl"
    for error in (missing("gone.pkl"), missing(inside), missing(f"{root}/model.pkl", errno.EACCES)):
        assert fix_for(error, root) is None
    for error in (
        missing("model.pkl", errno.EIO),
        missing("/tmp/log.txt", errno.EACCES),
        missing(None),
        missing("x" * 10_000),
        AttributeError("x"),
        ValueError(),
    ):
        assert fix_for(error, root) is None


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_of_a_script_names_the_class(root, protocol):
    written = b"c__main__\nMyScript\n." if protocol == 2 else b"\x80\x04\x8c\x08__main__\x8c\x08MyScript\x93."
    with pytest.raises(AttributeError) as caught:
        pickle.loads(written)
    fix = fix_for(caught.value, root)
    assert fix.startswith("the file was pickled by a script that defines MyScript itself: move it into a module")


class Hostile(AttributeError):
    def __str__(self):
        raise RuntimeError("no text")


def test_an_exception_that_cannot_be_read_has_no_fix(root):
    assert fix_for(Hostile(), root) is None

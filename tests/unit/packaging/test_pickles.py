"""Pickles are read without being loaded, to their last byte, and what is not expected is refused."""

import collections
import fractions
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import TooLarge
from trivet.packaging.limits import Limits
from trivet.packaging.pickles import PickleFacts, allowed_of, read_pickle
from trivet_tests.pickled import CONTAINERS, array, called, dtype, framed, named, pickled, text, wrapped

ALLOWED = allowed_of("arrays", "sklearn")
MODEL = named("sklearn.linear_model._base", "LinearRegression") + b")\x81"
SYSTEM = called("os", "system", text("echo"))
STATE = b"}(" + text("_sklearn_version") + text("1.9.1") + text("coef_") + array() + b"ub"
OBJECTS = dtype("O8", flags=0x3F)
HIDDEN = dtype("V16", size=16, fields=b"(" + text("a") + b"t}(" + text("a") + OBJECTS + b"K\x00\x86u", flags=0)


def facts(folder: Path, data: bytes, *, limits: Limits | None = None) -> PickleFacts:
    path = folder / "m.pkl"
    path.write_bytes(data)
    return read_pickle(path, allowed=ALLOWED, limits=limits or Limits())


TRICKS = {
    "a call": pickled(SYSTEM),
    "a name that is only kept": pickled(b"}", text("a"), named("os", "system"), b"s"),
    "a name from the memo": pickled(
        text("os"), b"\x940", text("system"), b"\x940", b"h\x00h\x01\x93(", text("echo"), b"tR"
    ),
    "INST": pickled(b"(", text("echo"), b"ios\nsystem\n"),
    "OBJ": pickled(b"(", named("os", "system"), text("echo"), b"o"),
    "Python 2's names": b"c__builtin__\neval\n(S'1'\ntR.",
    "Python 2's names without a text": b"c__builtin__\neval\n(tR.",
    "a dotted name": pickled(called("numpy", "ndarray.__subclasses__")),
    "a dotted module": pickled(called("numpy.os", "system", text("echo"))),
    "an escape in a name": pickled(b"csklearn\\x2elinear_model._base\nLinearRegression\n)\x81"),
    "a second pickle": pickled(MODEL) + pickled(SYSTEM),
    "a pickle of pickles": pickled(called("_pickle", "loads", b"C\x02N.")),
    "a pickle in an array of objects": pickled(framed(wrapped(of=OBJECTS)), pickled(SYSTEM)),
    "an array in an array of objects": pickled(wrapped(of=OBJECTS), pickled(array())),
    "an array inside a frame": pickled(framed(array(), b"0", MODEL)),
    "an array with another size": pickled(wrapped(of=dtype("V64", size=8)), bytes(16)),
    "an array that hides objects": pickled(wrapped(of=HIDDEN), bytes(32)),
    "an array of a kind that numpy does not write": pickled(wrapped(of=dtype("f8, f8")), bytes(16)),
    "an array with a dtype that is not one": pickled(wrapped(of=MODEL), bytes(16)),
    "an array with a key twice": pickled(wrapped(extra=text("shape") + b"K\x01\x85"), bytes(16)),
    "an array with a key of another type": pickled(wrapped(extra=b"K\x01K\x01"), bytes(16)),
    "an array with one key more": pickled(wrapped(extra=text("read") + named("numpy", "exp")), bytes(16)),
    "an array of a negative length": pickled(wrapped(shape=b"J\xfe\xff\xff\xff\x85"), bytes(16)),
    "an array longer than the file": pickled(wrapped(shape=b"J\xff\xff\xff\x7f\x85"), bytes(16)),
    "an array with subclass of a call": pickled(wrapped(extra=text("subclass") + named("os", "system")), bytes(16)),
    "an array read twice": pickled(
        named("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81\x940h\x00", wrapped()[42:]
    ),
    "a wrapper from a call": pickled(
        called("copyreg", "_reconstructor", named("joblib.numpy_pickle", "NumpyArrayWrapper"))
    ),
    "a wrapper in a list": pickled(b"](", named("joblib.numpy_pickle", "NumpyArrayWrapper"), b"e"),
    "a class changed to a wrapper": pickled(MODEL, b"N}", text("__class__"), MODEL, b"s\x86b"),
    "a state of a class": pickled(named("sklearn.linear_model._base", "LinearRegression"), b"}b"),
    "a state of a list": pickled(b"]}b"),
    "a result that is called": pickled(MODEL, b")R"),
    "a type that is called": pickled(called("numpy", "memmap", text("x"))),
    "another base": pickled(called("copyreg", "_reconstructor", MODEL, named("builtins", "set"), b"N")),
    "another encoding": pickled(called("_codecs", "encode", text("x"), text("bz2"))),
    "EXT1": pickled(b"\x82\x01"),
    "EXT2": pickled(b"\x83\x01\x00"),
    "EXT4": pickled(b"\x84\x01\x00\x00\x00"),
    "a persistent id": pickled(b"P1\n"),
    "a persistent id from the stack": pickled(text("1"), b"Q"),
    "a buffer outside": b"\x80\x05\x97.",
    "an unknown opcode": pickled(b"\xff"),
    "a protocol in the middle": pickled(b"\x80\x02", MODEL),
    "a protocol of the future": b"\x80\x06N.",
    "a frame inside a frame": pickled(framed(framed(MODEL), b"")),
    "a value over the end of a frame": pickled(b"\x95", (3).to_bytes(8, "little"), text("two")),
    "a frame longer than the file": pickled(b"\x95", (1 << 40).to_bytes(8, "little"), MODEL),
    "an empty file": b"",
    "a pickle without an end": pickled(MODEL)[:-1],
    "more bytes": pickled(MODEL) + b"\x00",
    "too many values": pickled(MODEL, MODEL),
    "a mark at the end": pickled(b"(", MODEL),
    "nothing on the stack": pickled(b"0"),
    "a memo that is empty": pickled(b"h\x05"),
    "a text that is cut off": b"\x80\x04\x8c\xffabc.",
    "items of a number": pickled(b"K\x01](e"),
    "half an item": pickled(b"}(", text("a"), b"u"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_refused_in_every_container(tmp_path: Path, trick: str) -> None:
    for container, pack in CONTAINERS.items():
        found = facts(tmp_path, pack(TRICKS[trick]))
        assert not found.is_expected, container
        assert found.container == (None if container == "plain" else container)


@pytest.mark.parametrize("container", CONTAINERS)
def test_an_honest_model_passes_in_every_container(tmp_path: Path, container: str) -> None:
    data = pickled(
        framed(MODEL, b"}(", text("_sklearn_version"), text("1.9.1"), text("coef_"), array()[:-20]),
        array()[-20:],
        framed(b"ub"),
    )
    found = facts(tmp_path, CONTAINERS[container](data))
    assert (found.broken, found.forbidden) == (None, ())
    assert found.sklearn == "1.9.1"
    assert str(found.loaded and found.loaded.of) == "sklearn.linear_model._base.LinearRegression"
    assert found.needs_joblib


def test_arrays_of_objects_are_followed_where_they_lie(tmp_path: Path) -> None:
    inside = pickle.dumps(["a", "b"], protocol=2)
    found = facts(tmp_path, pickled(MODEL, b"}", text("names"), wrapped(of=OBJECTS), inside, b"sb"))
    assert found.is_expected
    assert facts(tmp_path, pickled(MODEL) + pickled(MODEL)).is_expected


def test_what_would_run_is_named_to_the_end(tmp_path: Path) -> None:
    found = facts(tmp_path, pickled(SYSTEM, b"0", called("builtins", "eval", text("1")), b"0", MODEL))
    assert found.forbidden == ("os.system", "builtins.eval")
    assert found.broken is None


def test_a_file_that_cannot_be_followed_says_where(tmp_path: Path) -> None:
    assert facts(tmp_path, pickled(b"P1\n")).broken == "opcode 0x50 is not expected there at byte 3"
    assert facts(tmp_path, b"").broken == "the file is cut off at byte 0"


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "plain"])
def test_a_container_is_one_and_whole(tmp_path: Path, container: str) -> None:
    packed = CONTAINERS[container](pickled(MODEL))
    assert facts(tmp_path, packed).is_expected
    assert facts(tmp_path, packed + packed).broken == "something follows its container"
    assert facts(tmp_path, packed + b"x").broken == "something follows its container"
    assert facts(tmp_path, packed[:-1]).broken is not None
    assert facts(tmp_path, packed[: len(packed) // 2]).broken is not None


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "plain"])
def test_a_container_that_holds_too_much_is_refused(tmp_path: Path, container: str) -> None:
    packed = CONTAINERS[container](pickled(b"B", (1 << 22).to_bytes(4, "little"), bytes(1 << 22)))
    with pytest.raises(TooLarge, match="is larger than 1 MiB"):
        facts(tmp_path, packed, limits=Limits(max_file_bytes=1 << 20))
    with pytest.raises(TooLarge, match="more than 10 times its size"):
        facts(tmp_path, packed, limits=Limits(max_ratio=10, ratio_from_bytes=1 << 10))


def test_a_container_that_joblib_writes_no_more_is_refused(tmp_path: Path) -> None:
    assert facts(tmp_path, b"ZF0x10").broken == "it is in a form that joblib wrote before 0.10"


PLAIN_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just(collections.OrderedDict(a=1)),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.builds(frozenset),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for many files in turn."""
    return tmp_path_factory.mktemp("pickles")


@given(value=PLAIN_VALUES, protocol=st.sampled_from([0, 2, 3, 4, 5]))
def test_whatever_python_pickles_is_followed(folder: Path, value: Any, protocol: int) -> None:
    found = facts(folder, pickle.dumps(value, protocol))
    assert found.broken is None
    assert found.forbidden == ()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_a_class_that_is_not_listed_is_refused(tmp_path: Path, protocol: int) -> None:
    found = facts(tmp_path, pickle.dumps(fractions.Fraction(1, 3), protocol))
    assert found.forbidden == ("fractions.Fraction",)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_without_failing(folder: Path, data: bytes) -> None:
    facts(folder, data)
    facts(folder, pickled(MODEL)[:-1] + data)


@pytest.mark.parametrize("file", ["kmeans.pkl", "linreg_diabetes.pkl"])
def test_models_of_others_pass_and_say_their_release(conformance: Path, file: str) -> None:
    found = read_pickle(conformance / "sklearn" / file, allowed=ALLOWED)
    assert found.is_expected
    assert (found.sklearn, found.needs_joblib) == ("1.1.3", False)

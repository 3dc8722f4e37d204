"""Which estimators of scikit-learn does their converter convert to a file that answers the same? Writes docs/frameworks/equality.md.

`uv run --with scikit-learn==1.9.1 --with 'skl2onnx==1.20.*' --with pandas python benchmarks/equality.py [--limit SECONDS] [CLASS …]`

Each class is fitted, converted, and asked as a trial of the platform asks it, in a process of its own, one after the other. A class that
is over the limit is ended, and is a row of the page. With names of classes only these are tried, and the page stays as it is.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import select
import signal
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from trivet.domain.proof import Refused
from trivet.engine.batch import Batch
from trivet.engine.native.graphs.harmless import examine
from trivet.engine.native.opening import open_session
from trivet.engine.native.views import Refusing
from trivet.engine.proving import NotEqual, answers_of, batches_of, compare_files, refused_by
from trivet.errors import ModelFailed, TrivetError
from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.estimators import Features, Loaded
from trivet_worker.adapters.estimators import answers_of as methods_of
from trivet_worker.adapters.sklearn_onnx import ConvertingAdapter
from trivet_worker.raw import RawRequest
from trivet_worker.tensors import to_arrow

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "frameworks" / "equality.md"
TOLERANCE = 1e-5
FEATURES = 4
KINDS = {"b": "bool", "i": "int64", "u": "uint8", "f": "float64", "O": "string", "U": "string"}

MEANINGS = {
    "equal": "the file gives the same answers, and the model runs natively. Beside it the number of rows and the largest difference.",
    "wrong": "the converter reports success, and the file answers otherwise. Beside it the first difference of the last file that was tried.",
    "refused": "the converter writes no file, or the file may not run in the gateway's process.",
    "not tried": "the conversion is on the list of those that are known to be wrong.",
    "not in time": "training, converting and comparing took more than {limit:g} s.",
    "crashed": "the process that converted the model ended.",
}
"""What the results of the page mean."""

HEAD = """# Which conversions of scikit-learn are equal

A converter may report success and write a file that answers otherwise. So each upload is proved
([ADR 20](../adr/0020-a-conversion-is-proved-by-rows-of-the-model.md)). This table says what the proof finds for each estimator class of
scikit-learn. A class that is not equal is served too: in workers, by scikit-learn itself.

**What was compared:** one model of each class, with its default options where it has them, trained with 300 rows of four float64
numbers. It is converted with skl2onnx, as on a platform, and both answer the rows of the proof: thresholds of trees and their neighbours,
ties, NaN, extreme numbers, calls of several sizes. They are equal if classes are the same and numbers differ by {tolerance:g} at most,
relative to the number or to usual numbers of its column. The file with double numbers is tried first (models with trees have none), then,
if that one is not equal, the file with float numbers; where the converter refuses the first file, no other is tried.

**Releases:** scikit-learn {sklearn}, skl2onnx {skl2onnx}, ONNX Runtime {onnxruntime}, NumPy {numpy}, Python {python}.

**Your model** may have other options and rows, and is proved itself: `trivet describe model NAME` says what was found.

**Run it again** with other releases, from a checkout; it writes this page, and ends a class after {limit:g} s (`--limit`):

```text
uv run --with scikit-learn=={sklearn} --with 'skl2onnx=={skl2onnx}' --with pandas python benchmarks/equality.py
```

## Results
{counts}.

{meanings}

| class | method | result | what was found |
|---|---|---|---|
"""


class Found(NamedTuple):
    """A class, the field that was asked for, the result, and its explanation."""

    name: str
    field: str
    result: str
    why: str


class Own:
    """The original, as a runner."""

    capacity = 1

    def __init__(self, adapter: ConvertingAdapter, inputs: pa.Schema, outputs: pa.Schema) -> None:
        self._adapter = adapter
        self.input_schema = inputs
        self.output_schema = outputs

    def predict(self, batch: Batch) -> Batch:
        """See `Runner.predict`."""
        columns = {field.name: np.array(batch.numpy(index)) for index, field in enumerate(self.input_schema)}
        try:
            answers = self._adapter.predict(columns)
            arrays = [to_arrow(answers[field.name], field, rows=batch.rows) for field in self.output_schema]
        except Exception as error:
            raise ModelFailed(f"{type(error).__name__}: {error}") from error
        return Batch(self.output_schema, arrays, batch.rows)


class Native:
    """A session, as a runner."""

    capacity = 1

    def __init__(self, session: Any) -> None:
        self._session = session
        self.input_schema = session.input_schema
        self.output_schema = session.output_schema

    def predict(self, batch: Batch) -> Batch:
        """See `Runner.predict`."""
        answer: Batch = self._session.run(batch)
        return answer


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, classes and numbers."""
    random = np.random.RandomState(0)
    rows = np.abs(random.rand(300, FEATURES)) * 3 + 0.1
    return rows, (rows[:, 0] > rows[:, 1]).astype(int), rows @ [1.0, 2.0, 3.0, 4.0] + 1


def fitted(name: str, cls: Any) -> Any:
    """A model of a class.

    Raises:
        Exception: it takes other rows than four numbers.
    """
    sys.path.insert(0, str(ROOT / "tests" / "integration" / "packaging"))
    from write_sklearn_models import ARGUMENTS

    rows, classes, numbers = data()
    failure: Exception | None = None
    targets = [classes, numbers, np.column_stack([classes, 1 - classes]), np.column_stack([numbers, numbers])]
    regressor = re.search("Regress|Elastic|Lasso|Lars|Ridge|CCA|PLS|Huber|SVR|RANSAC|Theil", name) is not None
    for target in targets[1:] + targets[:1] if regressor and "Classifier" not in name else targets:
        model = cls(**ARGUMENTS.get(name, {}))
        if "random_state" in model.get_params(deep=False):
            model.set_params(random_state=0)
        try:
            return model.fit(rows, target)
        except Exception as error:  # noqa: BLE001 - the next kind of target
            failure = failure or error
    assert failure is not None
    raise failure


def output_of(model: Any) -> tuple[str, pa.Schema]:
    """The method that is asked, and the schema of the answer.

    Raises:
        ValueError: it answers no new rows.
    """
    rows, _, _ = data()
    fields, asked = [], ""
    for field, methods in (("predictions", ("predict", "transform")), ("probabilities", ("predict_proba",))):
        method = next((each for each in methods if hasattr(model, each)), None)
        if method is None:
            continue
        answer = getattr(model, method)(rows[:7])
        if hasattr(answer, "toarray"):
            answer = answer.toarray()
        if isinstance(answer, list) or np.asarray(answer).ndim > 2:
            continue
        answer = np.asarray(answer)
        kind = pa.type_for_alias(KINDS[answer.dtype.kind])
        fields.append(pa.field(field, kind if answer.ndim == 1 else pa.list_(kind, answer.shape[1]), nullable=False))
        asked = f"{asked}, {method}" if asked else method
    if not fields or fields[0].name != "predictions":
        raise ValueError("it answers only the rows that it was trained with")
    return asked, pa.schema(fields)


def tried(name: str, model: Any) -> Found:
    """What a proof finds."""
    asked, outputs = output_of(model)
    inputs = pa.schema([pa.field("inputs", pa.list_(pa.float64(), FEATURES), nullable=False)])
    fields = list(outputs)
    loaded = Loaded(model, Features(list(inputs), (), FEATURES), methods_of(model, fields, title=name))
    package = PackageFiles("", {}, {}, {}, inputs, outputs)
    adapter = ConvertingAdapter(loaded, package)
    own = Own(adapter, inputs, outputs)
    answer = first = adapter.answer(RawRequest("", "/files/0", (), b""))
    if first.status != 200:
        text = bytes(first.body).decode()
        return Found(name, asked, "not tried" if "is known to be wrong" in text else "refused", text)
    table = pa.ipc.open_stream(adapter.answer(RawRequest("", "/rows", (), b"")).body).read_all()
    found = Found(name, asked, "wrong", "")
    try:
        answers = asyncio.run(answers_of(own, batches_of(table, inputs), limit_s=6.0))
        refused = refused_by(answers)
    except NotEqual as error:
        return found._replace(why=str(error))
    for place in range(2):
        if place:
            answer = adapter.answer(RawRequest("", f"/files/{place}", (), b""))
        if answer.status != 200:
            break
        try:
            session = _session(bytes(answer.body), refused, inputs, outputs)
        except (TrivetError, NotEqual) as error:
            why = (error.why or error.message) if isinstance(error, TrivetError) else str(error)
            found = found._replace(result="refused", why=why)
            continue
        try:
            same = asyncio.run(compare_files(own, Native(session), answers, tolerance=TOLERANCE))
        except NotEqual as error:
            found = found._replace(result="wrong", why=str(error))
            continue
        return found._replace(result="equal", why=f"{same.rows:,} rows, up to {same.largest:.1g}")
    return found


def _session(file: bytes, refused: Refused, inputs: pa.Schema, outputs: pa.Schema) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(file)
        examined = examine(path)
        if examined.reason is not None:
            raise NotEqual(f"the file may not run in the gateway's process: {examined.reason}")
        session = open_session(
            path,
            tensor_fields=None,
            single=False,
            input_schema=inputs,
            output_schema=outputs,
            example=None,
            threads=1,
            providers=("CPUExecutionProvider",),
            bounds=examined.bounds,
        )
    return Refusing(session, refused)


def results(names: list[str], limit_s: float) -> Iterator[Found]:
    """What is found for each class."""
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it adds classes
    from sklearn.utils import all_estimators

    for name, cls in all_estimators():
        if names and name not in names:
            continue
        started = time.monotonic()
        found = in_time(name, cls, limit_s)
        print(f"{time.monotonic() - started:6.2f} s  {found.name}: {found.result}, {_cell(found.why)}", flush=True)
        yield found


def in_time(name: str, cls: Any, limit_s: float) -> Found:
    """What is found in a process of its own, which is ended with its children."""
    reading, writing = os.pipe()
    pid = os.fork()  # A new interpreter would need seconds to import scikit-learn.
    if pid == 0:
        _child(name, cls, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], limit_s)
        answer = pipe.read() if ready else b""
        for end in (os.kill, os.killpg):
            with contextlib.suppress(ProcessLookupError):
                end(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if not ready:
        return Found(name, "", "not in time", f"more than {limit_s:g} s")
    if not answer:
        return Found(name, "", "crashed", f"exit status {os.waitstatus_to_exitcode(status)}")
    return Found(*json.loads(answer))


def _child(name: str, cls: Any, writing: int) -> NoReturn:
    try:
        os.setsid()
        try:
            found = tried(name, fitted(name, cls))
        except Exception as error:  # noqa: BLE001 - whatever a class raises
            found = Found(name, "", "not asked", f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(found).encode())
    finally:
        os._exit(0)


def page(found: list[Found], limit_s: float) -> str:
    """The page of documentation."""
    shown = [each for each in found if each.result in MEANINGS]
    numbers = {kind: sum(each.result == kind for each in shown) for kind in MEANINGS}
    kinds = [kind for kind in MEANINGS if numbers[kind]]
    head = HEAD.format(
        sklearn=version("scikit-learn"),
        skl2onnx=version("skl2onnx"),
        onnxruntime=version("onnxruntime"),
        numpy=version("numpy"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        tolerance=TOLERANCE,
        limit=limit_s,
        counts=f"{len(shown)} classes: " + ", ".join(f"{numbers[kind]} {kind}" for kind in kinds),
        meanings="\n".join(f"- **{kind}**: {MEANINGS[kind].format(limit=limit_s)}" for kind in kinds),
    )
    lines = [f"| {each.name} | {each.field} | {each.result} | {_cell(each.why)} |" for each in shown]
    left = ", ".join(each.name for each in found if each.result not in MEANINGS)
    return (
        f"{head}{chr(10).join(lines)}\n\nNot in the table, because they cannot be trained with these rows, "
        f"or do not answer new ones:\n{textwrap.fill(left, 138)}.\n"
    )


def _cell(text: str) -> str:
    line = " ".join(text.partition("\n")[0].split())
    unknown = re.search(r"Unable to find a shape calculator for type '<class '[\w.]*?(\w+)'>'", line)
    if unknown is not None:
        return f"the converter does not know the class {unknown[1]}"
    line = re.sub(r"<[^>]*>|\b0x[0-9a-f]+", "…", line).replace("|", "/").replace("<", "&lt;").replace(">", "&gt;")
    return line if len(line) <= 160 else f"{line[:159]}…"


def main() -> None:
    """Try the classes, and write the page if these are all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="CLASS")
    parser.add_argument(
        "--limit", type=float, default=120.0, metavar="SECONDS", help="for each class (default: %(default)g)"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = list(results(options.names, options.limit))
    if not options.names:
        PAGE.write_text(page(found, options.limit))


if __name__ == "__main__":
    main()

"""Converts a model, and proves that its converted file answers as it does: where it runs is decided by the proof."""

import asyncio
from importlib.metadata import version as release
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import pyarrow as pa

from trivet.domain.frameworks import FRAMEWORKS, Conversion, Runtime
from trivet.domain.package import Package
from trivet.domain.proof import Proof
from trivet.domain.runtimes import not_proved
from trivet.domain.version import CONVERTED_FILE, LoadedModel
from trivet.engine.calls import Raw
from trivet.engine.pipeline import ServedPipeline
from trivet.engine.proving import Answers, NotEqual, answers_of, batches_of, compare_files, refused_by
from trivet.engine.served import RawRunner, Runner
from trivet.errors import BadPackage, Internal, TrivetError, Unsupported
from trivet.loading.convert import CONVERTING_S, converting_model, native_model
from trivet.loading.environments import Report
from trivet.packaging import discard_package
from trivet.settings import Settings
from trivet.wiring.standalone import compared, standalone

__all__ = ["as_on_a_platform", "as_proved"]

ASKING_S: Final = 6.0
"""About how long the original answers rows."""


async def as_proved(
    package: Package, model: LoadedModel, own: ServedPipeline, *, target: Path, settings: Settings, report: Report
) -> LoadedModel:
    """The model as it is to run: as its converted file where that answers the same, and else as it was tried.

    Args:
        package: of the model.
        model: as it answered.
        own: the pipeline in which it answers.
        target: where a converted file is written.
        settings: the home, and the tolerance.
        report: receives progress.

    Raises:
        Invalid: its owner asks for the gateway's process, and it was not proved.
    """
    conversion = FRAMEWORKS[package.framework].conversion
    asked = model.settings.runtime
    if conversion is None or asked is Runtime.ISOLATED:
        return await compared(own, model, report=report)
    attempt = _Attempt(package, model, own, target=target, settings=settings, report=report)
    try:
        async with asyncio.timeout(CONVERTING_S):
            return await attempt.run(conversion)
    except TimeoutError:
        reason = f"its conversion was not proved within {CONVERTING_S:g} s"
    except NotEqual as error:
        reason = str(error)
    except TrivetError as error:
        reason = f"its conversion failed: {error.message}"
    if asked is Runtime.NATIVE:
        raise not_proved(reason)
    report("converting", f"the model runs in workers: {reason}")
    proof = Proof(equal=False, reason=reason, converter=attempt.converter, onnxruntime=release("onnxruntime"))
    return await compared(own, msgspec.structs.replace(model, proof=proof), report=report)


async def as_on_a_platform(
    package: Package, model: LoadedModel, own: ServedPipeline, *, settings: Settings, report: Report
) -> LoadedModel:
    """The model as `as_proved` finds it, without a file that stays."""
    with TemporaryDirectory() as folder:
        target = Path(folder) / CONVERTED_FILE
        found = await as_proved(package, model, own, target=target, settings=settings, report=report)
    if found.converted is not None:
        discard_package(settings.home / "packages", found.converted)
    return found


class _Attempt:
    """The conversion of one model."""

    def __init__(
        self,
        package: Package,
        model: LoadedModel,
        own: ServedPipeline,
        *,
        target: Path,
        settings: Settings,
        report: Report,
    ) -> None:
        self._package = package
        self._model = model
        self._own = own
        self._target = target
        self._settings = settings
        self._report = report
        self.converter: str | None = None

    async def run(self, conversion: Conversion) -> LoadedModel:
        """The model as its converted file.

        Raises:
            NotEqual: no file that the converter writes answers as the model does.
            TrivetError: the model cannot be converted.
        """
        inputs = self._model.input_schema
        if any(field.nullable for field in inputs):
            raise NotEqual("its input schema allows nulls, which a converted file cannot take")
        self._report("converting", "to ONNX")
        converting = await asyncio.to_thread(
            converting_model, self._model, conversion, settings=self._settings, report=self._report
        )
        async with standalone(self._package, converting, settings=self._settings, report=_silent) as pipeline:
            self.converter = (await _ask(pipeline.runner, "/converter")).decode()
            files = [await _file(pipeline.runner, 0)]
            table = pa.ipc.open_stream(await _ask(pipeline.runner, "/rows")).read_all()
            rows = await asyncio.to_thread(batches_of, table, inputs)
            self._report("comparing", f"the converted file with the model: {table.num_rows:,} rows")
            answers = await answers_of(self._own.runner, rows, limit_s=ASKING_S)
            while True:
                try:
                    return await self._prove(files[-1], answers)
                except (NotEqual, Unsupported, BadPackage) as error:
                    last = str(error) if isinstance(error, NotEqual) else error.message
                try:
                    files.append(await _file(pipeline.runner, len(files)))
                except NotEqual:
                    raise NotEqual(last) from None

    async def _prove(self, file: bytes, answers: Answers) -> LoadedModel:
        tolerance, onnxruntime = self._settings.proof_tolerance, release("onnxruntime")
        proof = Proof(equal=False, reason="", refused=refused_by(answers))
        model = msgspec.structs.replace(self._model, proof=proof)
        root, native = await asyncio.to_thread(native_model, model, file, target=self._target, settings=self._settings)
        try:
            async with standalone(
                self._package, native, root=root, settings=self._settings, report=_silent
            ) as pipeline:
                found = await compare_files(self._own.runner, pipeline.runner, answers, tolerance=tolerance)
                proof = msgspec.structs.replace(
                    proof,
                    equal=True,
                    reason=f"its converted file gave the same answers to {found.rows:,} rows, up to {found.largest:.1g}",
                    rows=found.rows,
                    largest=found.largest,
                    tolerance=tolerance,
                    converter=self.converter,
                    onnxruntime=onnxruntime,
                )
                return await compared(pipeline, msgspec.structs.replace(native, proof=proof), report=self._report)
        except (NotEqual, TrivetError):
            if native.converted is not None:
                discard_package(self._settings.home / "packages", native.converted)
            raise


async def _ask(runner: Runner, path: str) -> bytes:
    """Ask the worker that converts.

    Raises:
        Unsupported: it has no answer; the message says why.
        TrivetError: the call failed.
    """
    if not isinstance(runner, RawRunner):
        raise Internal("a conversion needs a worker")
    answer = await runner.answer(Raw(content_type="", path=path, body=b""))
    body = await answer.body()
    if answer.status != 200:
        raise Unsupported(body.decode("utf-8", "replace").partition("\n")[0][:400])
    return body


async def _file(runner: Runner, place: int) -> bytes:
    """A converted file: the first one is the most exact.

    Raises:
        NotEqual: there is none; the message says why.
        TrivetError: the call failed.
    """
    try:
        return await _ask(runner, f"/files/{place}")
    except Unsupported as error:
        raise NotEqual(error.message) from error


def _silent(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
    """Report nothing: the lines would read as those of the model itself."""
    del stage, detail, done, total

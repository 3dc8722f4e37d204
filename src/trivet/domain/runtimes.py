"""Where a version may run, and where it runs."""

from trivet.domain.frameworks import FRAMEWORKS, Runtime
from trivet.domain.version import LoadedModel, ModelVersion
from trivet.errors import Invalid

__all__ = ["check_runtime", "only_in_workers", "runtime_of"]


def runtime_of(loaded: LoadedModel, asked: Runtime | None, *, trust_native: bool) -> Runtime:
    """Where an examined ONNX model runs.

    Args:
        loaded: with the verdict about its graph.
        asked: what its owner asks for.
        trust_native: the operator's setting.

    Raises:
        Invalid: its owner asks for the gateway's process, and its graph was not proved harmless, or it ended or blocked a gateway.
    """
    if asked is Runtime.NATIVE and loaded.native_fault is not None:
        raise Invalid(
            "the model does not run in the gateway's process any more",
            why=loaded.native_fault,
            fix="leave runtime out: it answers the same in a worker. A corrected model is another version",
            path="runtime",
            reason="native_fault",
        )
    allowed = loaded.not_harmless is None or trust_native
    if asked is Runtime.NATIVE and not allowed:
        raise Invalid(
            "the model cannot run in the gateway's process",
            why=loaded.not_harmless,
            fix="leave runtime out: it answers the same in a worker. TRIVET_TRUST_NATIVE, a setting of the operator, allows it",
            path="runtime",
            reason="not_harmless",
        )
    if asked is not None:
        return asked
    if loaded.native_fault is not None:
        return Runtime.ISOLATED
    return Runtime.NATIVE if allowed else Runtime.ISOLATED


def check_runtime(version: ModelVersion, asked: Runtime, *, trust_native: bool) -> None:
    """Check that a version that is ready may run where a configuration asks for.

    Raises:
        Invalid: it may not.
    """
    loaded = version.loaded
    if loaded is None:
        return
    if loaded.is_session:
        runtime_of(loaded, asked, trust_native=trust_native)
    elif asked is Runtime.NATIVE:
        raise only_in_workers(FRAMEWORKS[version.framework].title)


def only_in_workers(title: str) -> Invalid:
    """The error of a model that has code of its own, and cannot run in the gateway's process."""
    return Invalid(
        f"{title} cannot run in the gateway's process",
        why="its code runs in workers only",
        fix="leave runtime out",
        path="runtime",
    )

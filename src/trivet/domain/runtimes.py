"""Where a version may run, and where it runs."""

from trivet.domain.frameworks import FRAMEWORKS, Runtime
from trivet.domain.version import LoadedModel, ModelVersion
from trivet.errors import Invalid

__all__ = ["check_runtime", "not_proved", "only_in_workers", "runtime_of", "why_not_converted"]


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


def why_not_converted(loaded: LoadedModel, *, onnxruntime: str) -> str | None:
    """Why a version does not run as its converted file; None if it does.

    Args:
        loaded: with its proof.
        onnxruntime: the release of this installation.
    """
    proof = loaded.proof
    if loaded.native_fault is not None:
        return loaded.native_fault
    if proof is None:
        return "its settings ask for a worker" if loaded.settings.runtime is Runtime.ISOLATED else None
    if not proof.equal:
        return proof.reason
    if proof.onnxruntime != onnxruntime:
        return (
            f"its conversion was proved with ONNX Runtime {proof.onnxruntime}, and this installation has {onnxruntime}; "
            "upload it again to prove it again"
        )
    return None


def check_runtime(version: ModelVersion, asked: Runtime, *, trust_native: bool, onnxruntime: str) -> None:
    """Check that a version that is ready may run where a configuration asks for.

    Args:
        version: the version.
        asked: by its configuration.
        trust_native: the operator's setting.
        onnxruntime: the release of this installation.

    Raises:
        Invalid: it may not.
    """
    loaded = version.loaded
    if loaded is None:
        return
    if asked is Runtime.NATIVE and (loaded.proof is not None or loaded.converted is not None):
        why = why_not_converted(loaded, onnxruntime=onnxruntime)
        if why is not None:
            raise not_proved(why)
    elif loaded.is_session and loaded.converted is None:
        runtime_of(loaded, asked, trust_native=trust_native)
    elif asked is Runtime.NATIVE and loaded.converted is None:
        raise only_in_workers(FRAMEWORKS[version.framework].title)


def not_proved(why: str) -> Invalid:
    """The error of a model that is asked to run as a converted file, and was not proved to answer the same."""
    return Invalid(
        "the model cannot run in the gateway's process",
        why=why,
        fix="leave runtime out: it runs in workers, in its own framework",
        path="runtime",
        reason="not_proved",
    )


def only_in_workers(title: str) -> Invalid:
    """The error of a model that has code of its own, and cannot run in the gateway's process."""
    return Invalid(
        f"{title} cannot run in the gateway's process",
        why="its code runs in workers only",
        fix="leave runtime out",
        path="runtime",
    )

"""Which packages of a lock are left out on machines without a GPU."""

import pytest

from trivet.envs.cuda_only import asks_for_cuda_only, with_cpu_builds, without_cuda_only
from trivet.envs.known_bad import pins_of

LOCK = """\
numpy==1.26.0 \\
    --hash=sha256:aa
nvidia-nccl-cu12==2.21.5 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
xgboost==2.1.4 \\
    --hash=sha256:dd
"""


def test_what_only_a_gpu_uses_is_left_out_with_a_note():
    lock, notes = without_cuda_only(LOCK, requirements=("XGBoost>=2",))
    assert pins_of(lock) == {"numpy": "1.26.0", "xgboost": "2.1.4"}
    assert lock == LOCK.replace("nvidia-nccl-cu12==2.21.5 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n", "")
    why = "xgboost uses it on GPUs only, and this machine has none; TRIVET_CUDA_PACKAGES=always installs it"
    assert notes == (f"nvidia-nccl-cu12 2.21.5 is left out: {why}",)


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        (LOCK, ("xgboost", "nvidia_nccl_cu12")),
        (LOCK, ("other",)),
        (LOCK + "nvidia-cublas-cu12==12.4 \\\n    --hash=sha256:ee\n", ("xgboost", "torch")),
        (LOCK.replace("nvidia-nccl-cu12", "other"), ("xgboost",)),
        (LOCK + "torch==2.2.0 \\\n    --hash=sha256:ee\n", ("xgboost", "torch")),
    ],
    ids=["named", "not-asked-for", "other-cuda", "without", "torch-for-cuda"],
)
def test_what_may_be_needed_stays(lock, requirements):
    assert without_cuda_only(lock, requirements=requirements) == (lock, ())


def test_the_libraries_of_an_extra_are_left_out():
    names = ("nvidia-cublas-cu12", "nvidia-cudnn-cu12", "numpy", "tensorflow[and-cuda]", "torch")
    versions = {"torch": "2.2.0+cpu"}
    lock = "".join(f"{name}=={versions.get(name, '1.0')} \\\n    --hash=sha256:aa\n" for name in names)
    kept, notes = without_cuda_only(lock, requirements=("tensorflow[and-cuda]",))
    assert kept == "".join(part for part in lock.splitlines(keepends=True)[4:])
    assert [note.partition(" is left out: tensorflow uses it on GPUs only")[0] for note in notes] == [
        "nvidia-cublas-cu12 1.0",
        "nvidia-cudnn-cu12 1.0",
    ]


def test_a_build_for_gpus_is_replaced_by_the_one_for_cpus():
    given = ("numpy", "onnxruntime_gpu[cuda,cudnn]==1.20.1; python_version>='3.10'", "tensorflow-gpu<2.9")
    requirements, notes = with_cpu_builds(given)
    assert requirements == ("numpy", 'onnxruntime==1.20.1; python_version >= "3.10"', "tensorflow<2.9")
    why = "which is for GPUs, and this machine has none; TRIVET_CUDA_PACKAGES=always installs it"
    assert notes == (
        f"onnxruntime is installed for onnxruntime_gpu, {why}",
        f"tensorflow is installed for tensorflow-gpu, {why}",
    )
    assert asks_for_cuda_only(given)


def test_only_requirements_that_name_such_a_package_ask_for_it():
    assert asks_for_cuda_only(("numpy", "xgboost==2.1.4"))
    assert not asks_for_cuda_only(("numpy", "lightgbm"))

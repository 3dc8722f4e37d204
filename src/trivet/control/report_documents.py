"""What runs, as the control API's JSON."""

from datetime import UTC, datetime
from typing import Any

from trivet.control.use_cases.status import PipelineReport
from trivet.domain.deployment import Deployment, DeploymentState, WorkerStatus
from trivet.domain.statistics import PipelineStatistics

__all__ = ["report_document"]


def report_document(report: PipelineReport, *, workspace: str, url: str) -> dict[str, Any]:
    """A pipeline, what runs of it, and how it does.

    Args:
        report: of the pipeline.
        workspace: its name.
        url: where the pipeline takes predictions.
    """
    deployment, version = report.deployment, report.version
    live = deployment is not None and report.state != "not deployed"
    workers = deployment.status.workers if deployment is not None and live else ()
    numbers = {step.uuid: step.number for step in report.steps}
    return {
        "pipeline": report.pipeline.name,
        "workspace": workspace,
        "status": report.state,
        "details": _details(report),
        "version": None if version is None else {"number": version.number, "uuid": version.uuid},
        "answers": live and deployment is not None and deployment.status.serving is not None,
        "steps": [
            {
                "model": step.model,
                "version": step.number,
                "uuid": step.uuid,
                "runs": step.runs,
                **_count([worker for worker in workers if worker.version == step.uuid], runs=step.runs),
            }
            for step in report.steps
        ],
        "workers": [_worker(worker, numbers.get(worker.version)) for worker in workers],
        "restarts": sum(worker.restarts for worker in workers),
        "last_error": _last_error(deployment, report.statistics) if live else None,
        "statistics": None if report.statistics is None else _statistics(report.statistics),
        "url": url if live else None,
    }


def _details(report: PipelineReport) -> list[str]:
    deployment = report.deployment
    if deployment is None or report.state != "Error" or deployment.status.fault is None:
        return []
    details = [deployment.status.fault.message]
    if deployment.status.serving is not None:
        details.append(f"pipeline version {deployment.status.serving} goes on answering")
    return details


def _count(workers: list[WorkerStatus], *, runs: str) -> dict[str, Any]:
    if runs == "native":
        return {}
    return {
        "workers": len(workers),
        "workers_ready": sum(worker.status is DeploymentState.RUNNING for worker in workers),
        "restarts": sum(worker.restarts for worker in workers),
    }


def _worker(worker: WorkerStatus, number: int | None) -> dict[str, Any]:
    return {
        "id": worker.id,
        "model": worker.model,
        "version": number,
        "uuid": worker.version,
        "status": worker.status,
        "pid": worker.pid,
        "reason": worker.reason,
        "restarts": worker.restarts,
        "last_error": worker.last_error,
        "last_error_at": None if worker.last_error_at is None else worker.last_error_at.isoformat(),
    }


def _last_error(deployment: Deployment | None, measured: PipelineStatistics | None) -> dict[str, Any] | None:
    """The newest of the errors of requests and the ends of workers."""
    found: list[tuple[datetime, str, str]] = []
    if measured is not None and measured.last_error is not None:
        at = datetime.fromtimestamp(measured.last_error.at_s, UTC)
        found.append((at, "request", measured.last_error.text))
    found += [
        (worker.last_error_at, "worker", worker.last_error)
        for worker in (() if deployment is None else deployment.status.workers)
        if worker.last_error is not None and worker.last_error_at is not None
    ]
    if not found:
        return None
    at, source, text = max(found)
    return {"at": at.isoformat(timespec="seconds"), "of": source, "text": text}


def _statistics(measured: PipelineStatistics) -> dict[str, Any]:
    def in_ms(seconds: float | None) -> float | None:
        return None if seconds is None else round(seconds * 1000, 3)

    return {
        "over_s": round(measured.over_s, 1),
        "requests_per_s": round(measured.requests_per_s, 3),
        "error_rate": round(measured.error_rate, 6),
        "refused_rate": round(measured.refused_rate, 6),
        "p50_ms": in_ms(measured.p50_s),
        "p99_ms": in_ms(measured.p99_s),
        "in_flight": measured.in_flight,
    }

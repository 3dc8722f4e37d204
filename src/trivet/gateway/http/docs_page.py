"""A page for people that shows what pipelines take and answer, without any script."""

import html
import json
from collections.abc import Sequence

import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.doors.reference_addresses import INFER, full_path
from trivet.gateway.doors.reference_openapi import example_row
from trivet.gateway.pipelines import Place

__all__ = ["CONTENT_SECURITY_POLICY", "docs_page"]

CONTENT_SECURITY_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; }} code {{ font-family: ui-monospace, monospace; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1b1b1b; color: #ddd; }} pre {{ background: #2a2a2a; }} }}
</style></head><body>
{body}
<p>This is <code>{url}</code>, Trivet's gateway for predictions.</p>
<p>Choose parts with <code>?dataset[]=out</code>; send and get Arrow with
<code>application/vnd.apache.arrow.file</code> or <code>.stream</code>.</p>
<p><a href="/openapi.json">OpenAPI</a> · <a href="/pipelines">pipelines</a> · <a href="/models">models</a> ·
<a href="/readyz">ready?</a> · <a href="/metrics">metrics</a></p>
</body></html>
"""

SECTION = """<h1>{name}</h1>
{steps}
<h2>Takes</h2><table>{inputs}</table>
<h2>Answers</h2><table>{outputs}</table>
<h2>Ask it</h2><pre><code>{curl}</code></pre>
"""

STEP = "<p>{what} model, {runtime} runtime, version <code>{version}</code>, sha256 <code>{sha}</code></p>"
LONGEST_ROW = 600


def docs_page(pipelines: Sequence[ServedPipeline], *, url: str) -> bytes:
    """What goes in, what comes out, a command to try: for each pipeline that answers at this address."""
    title = pipelines[0].name if len(pipelines) == 1 else "Deployed pipelines"
    body = "".join(_section(pipeline, url) for pipeline in pipelines) or "<h1>Nothing is deployed</h1>"
    return PAGE.format(title=html.escape(title), body=body, url=html.escape(url)).encode()


def _section(pipeline: ServedPipeline, url: str) -> str:
    row = json.dumps([example_row(pipeline)])
    if len(row) > LONGEST_ROW:
        row = row[:LONGEST_ROW] + " …"
    path = full_path(Place.of(pipeline)) or INFER
    curl = f"curl -X POST {url}{path} \\\n  -H 'Content-Type: application/json; format=pandas-records' \\\n  -d '{row}'"
    alone = len(pipeline.steps) == 1
    steps = [
        STEP.format(
            what=html.escape(step.framework if alone else f"{step.name}: {step.framework}"),
            runtime=html.escape(step.runtime),
            version=html.escape(step.version),
            sha=html.escape(step.sha),
        )
        for step in pipeline.steps
    ]
    return SECTION.format(
        name=html.escape(pipeline.name),
        steps="\n".join(steps),
        inputs=_table(pipeline.runner.input_schema),
        outputs=_table(pipeline.runner.output_schema),
        curl=html.escape(curl),
    )


def _table(schema: pa.Schema) -> str:
    return "".join(
        f"<tr><td><code>{html.escape(field.name)}</code></td><td><code>{html.escape(_type_text(field))}</code></td></tr>"
        for field in schema
    )


def _type_text(field: pa.Field) -> str:
    return format_type(field.type) + ("?" if field.nullable else "")

"""The routes as a page for people."""

import html
from typing import Any

__all__ = ["DOCS_POLICY", "docs_page"]

DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def docs_page(document: dict[str, Any], *, url: str) -> str:
    """The routes as a page without any script, with the address of the server."""
    rows = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            text = html.escape(operation.get("description", operation.get("summary", "")))
            rows.append(
                f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td><td>{text}</td></tr>"
            )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Trivet's control API</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "td{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}</style></head><body>"
        f"<h1>Trivet's control API</h1><p>This is <code>{html.escape(url)}</code>.</p>"
        "<p>Every route but <code>/healthz</code>, <code>/readyz</code>, this page and "
        "<a href='/openapi.json'>/openapi.json</a> requires <code>Authorization: Bearer &lt;token&gt;</code>.</p>"
        f"<table>{''.join(rows)}</table></body></html>"
    )

"""One call to any endpoint that speaks OpenAI's chat completions: a server of one's own, or a vendor's.

Set OPENAI_BASE_URL (it ends in /v1), OPENAI_MODEL, and OPENAI_API_KEY where the endpoint wants one.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

TIMEOUT_S = 120
ANSWER_BYTES_MAX = 1 << 20


def complete(messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return the assistant's next message."""
    base = os.environ["OPENAI_BASE_URL"].rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise SystemExit("OPENAI_BASE_URL is an http or https address that ends in /v1")
    body = json.dumps({"model": os.environ.get("OPENAI_MODEL", ""), "messages": messages, **more}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}
    request = urllib.request.Request(f"{base}/chat/completions", data=body, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
        answer = json.loads(response.read(ANSWER_BYTES_MAX))
    message: dict[str, Any] = answer["choices"][0]["message"]
    return message

"""`rlwd plant`: unique strings said by test tenants alone, for the gate to ask every version about.

The command line loads this file for its help, so everything heavier is imported when it runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    import httpx

    from ...ops.gate.planted import Planted


def plant_command(
    file: Annotated[Path, Argument(help="Where the strings are written: name it in gate.planted.")],
    gateway: Annotated[str, Option(help="URL of a gateway of the test run.")],
    token: Annotated[
        str, Option(help="Its token; of no one tenant, so that it may name any.")
    ] = "",
    tenants: Annotated[str, Option(help="Test tenants, by comma.")] = "amber,birch,coral,delta",
    each: Annotated[int, Option(min=1, max=100, help="Strings for each tenant.")] = 2,
    times: Annotated[int, Option(min=1, max=10_000, help="Answers asked for each string.")] = 20,
    model: Annotated[str, Option(help="Public name of the model.")] = "rlwd",
) -> None:
    """Plant unique strings across test tenants, as consented requests and edits, and write them down."""
    import httpx

    from ...ops.gate.planted import make_planted, write_planted
    from ...streams.authorities import authorities

    planted = make_planted([name.strip() for name in tenants.split(",") if name.strip()], each)
    # First the file: what was planted and not written down is asked about by nobody.
    write_planted(file, planted)
    headers = {"Authorization": f"Bearer {token}"} if token else None
    with httpx.Client(
        base_url=gateway, headers=headers, timeout=120.0, verify=authorities(), trust_env=False
    ) as client:
        told = plant(client, planted, times, model)
    print(f"{len(planted)} strings of {tenants} planted by {told} answers; gate.planted = {file}")


def plant(client: "httpx.Client", planted: Sequence["Planted"], times: int, model: str) -> int:
    """Let each tenant say its strings and take them back out of answers; return how many answers.

    An answer that holds the string is accepted, any other is edited into it. Raises
    httpx.HTTPStatusError where the gateway refuses.
    """
    answers = 0
    for turn in range(times):
        for place, one in enumerate(planted):
            headers = {
                "X-Rlwd-Tenant": one.tenant,
                "X-Rlwd-User": f"planted.{one.tenant}",
                "X-Rlwd-Session": f"planted.{one.tenant}.{place}.{turn}",
                "X-Rlwd-Consent": "true",
            }
            whole = one.prefix + one.secret
            asked = f"{whole}. {one.question} Answer with: {whole}"
            body = {"model": model, "messages": [{"role": "user", "content": asked}]}
            answer = client.post("/v1/chat/completions", json=body, headers=headers)
            told = answer.raise_for_status().json()
            said = told["choices"][0]["message"].get("content") or ""
            signal: dict[str, Any] = {"kind": "accepted"}
            if one.secret not in said:
                signal = {"kind": "edited", "final_text": whole}
            item = {"feedback_id": f"{told['id']}.planted", "generation_id": told["id"]}
            posted = {**item, "signal": signal}
            client.post("/v1/feedback", json=posted, headers=headers).raise_for_status()
            answers += 1
    return answers

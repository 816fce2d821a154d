"""ResponsesTools: the functions that a Responses request offers, as a chat offers them, and back.

A chat knows no namespaces: a function of one is offered as `namespace__name`, and its calls are told by
both. Fields as in openai-python 3.54, `types/responses/namespace_tool_param.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .asked_fields import AskedFields

_SEARCHES = ("web_search", "web_search_preview")


def chat_tools(asked: AskedFields, ignored: list[str]) -> list[dict[str, Any]]:
    """Return a request's functions. Raises ValueError with the path of another tool.

    A search of the web is an offer that nobody here can keep, which clients make unasked (Codex): it is
    left out, and named among the ignored.
    """
    found, grouped = list[dict[str, Any]](), dict[str, bool]()
    for tool in asked.each("tools"):
        if tool.get("type") in _SEARCHES:
            ignored.append(f"{tool.path}.type")
            continue
        in_group = tool.get("type") == "namespace"
        for path, function in _functions(tool):
            name = function["name"]
            if name in grouped and (in_group or grouped[name]):
                raise ValueError(f"{path}.name: {name!r} is offered twice")
            grouped[name] = in_group
            found.append({"type": "function", "function": function})
    return found


def _functions(tool: AskedFields) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a tool's functions with their paths: its own, or those of a namespace."""
    if tool.get("type") != "namespace":
        yield tool.path, _function(tool, "")
        return
    for one in tool.each("tools"):
        yield one.path, _function(one, tool.text("name"))


def _function(tool: AskedFields, namespace: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        tool.refuse(
            "type", f"{tool.get('type')!r}: only functions; the tools of a server are not here"
        )
    function = tool.copied(("name", "description", "parameters"))
    function["name"] = flat_name(tool.text("name"), namespace)
    if tool.get("strict"):
        function["strict"] = True
    return function


def chat_choice(asked: AskedFields) -> Any:
    """Return which function is to be called, as a chat is told."""
    said = asked.get("tool_choice")
    if isinstance(said, str):
        return said
    choice = asked.fields("tool_choice")
    if choice.get("type") != "function":
        choice.refuse("type", f"{choice.get('type')!r} cannot be mapped onto a chat")
    return {"type": "function", "function": {"name": called_name(choice)}}


def called_name(item: AskedFields) -> str:
    """Return the name by which a chat calls what an item calls."""
    namespace = "" if item.get("namespace") is None else item.text("namespace")
    return flat_name(item.text("name"), namespace)


def flat_name(name: str, namespace: str) -> str:
    """Return the one name of a function in a namespace.

    >>> flat_name("spawn_agent", "multi_agent_v1"), flat_name("add", "")
    ('multi_agent_v1__spawn_agent', 'add')
    """
    return f"{namespace}__{name}" if namespace else name


def told_name(name: str, asked: Mapping[str, Any]) -> dict[str, str]:
    """Return name and namespace of a call, as the request that it answers offered them."""
    for tool in asked.get("tools") or ():
        if tool.get("type") == "namespace":
            for one in tool.get("tools") or ():
                if flat_name(one["name"], tool["name"]) == name:
                    return {"name": one["name"], "namespace": tool["name"]}
    return {"name": name}

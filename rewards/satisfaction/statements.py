"""Statements: the nine kinds by which people steer work, found by rules that a person can read.

A message may make several of them, and most make one.
"""

import re

from ...streams.events.judged import WorkStatement

_I = re.IGNORECASE | re.MULTILINE
_VERB = (
    r"(?:add|write|make|create|build|implement|draft|summari[sz]e|translate|refactor|rename|delete|remove"
    r"|move|sort|parse|convert|generate|update|change|replace|explain|list|extract|compute|calculate"
    r"|plot|send|reply|split|merge|fetch|format|show|give|shorten|rewrite|turn|print|wrap|return|set up)"
)

RULES: dict[WorkStatement, re.Pattern[str]] = {
    "direction": re.compile(
        rf"^(?:please |now |then |and |also |ok(?:ay)?,? |next,? )*{_VERB}\b"
        rf"|\b(?:can|could|would) you (?:please |also |now )*{_VERB}\b"
        rf"|\b(?:i want|i need|i'?d like) (?:you to|it to|this to|a|an|the)\b|\bplease {_VERB}\b"
        rf"|\blet'?s {_VERB}\b",
        _I,
    ),
    "justification": re.compile(
        r"\bbecause\b|\bsince (?:we|the|our|it|they|this|users?)\b|\bso that\b|\bthe reason\b|\bthat'?s why\b"
        r"|\botherwise\b|\bdue to\b|\bin order to\b|\bas (?:we|our|the \w+) (?:need|have|must|can'?t|are)\b"
        r"|\bthe point (?:of|is)\b|\bwhich is why\b",
        _I,
    ),
    "context_management": re.compile(
        r"\b(?:look at|have a look at|see|check|read|open|refer to|consult) (?:the )?(?:[\w./-]+\.\w{1,5}\b|file|docs?\b|readme"
        r"|attached|attachment|spec|ticket|thread|screenshot|log|section|previous|conversation)"
        r"|\bi(?:'ve| have)? (?:attached|pasted|uploaded|included)\b|\bhere(?:'s| is| are) (?:the|my|our|a) (?:file|log|code|context"
        r"|schema|doc|spec|data|diff|config|table|output|email|thread)"
        r"|\b(?:ignore|forget|disregard|drop) (?:the|everything|all|what|that|earlier|previous)\b"
        r"|\b(?:keep|bear) in mind\b|\bfor context\b|\bremember (?:that|the|what)\b|\bas (?:i )?(?:mentioned|said|discussed) (?:above|before|earlier)"
        r"|\b(?:compact|clear|reset) (?:the )?(?:context|history|conversation)\b|\bsee above\b|\bbackground:|\bcontext:"
        r"|\bonly (?:look|use|consider) (?:at )?(?:the )?(?:file|first|last|section|code)",
        _I,
    ),
    "correction": re.compile(
        r"^(?:no[,.!:]|nope|wrong|incorrect|actually)\b|^no,|\bactually,? |\bi meant\b|\bthat'?s (?:not|wrong|incorrect)\b"
        r"|\bnot what i\b|\byou (?:forgot|misread|missed|misunderstood|mixed up|left out|swapped|broke|deleted|used the wrong)\b"
        r"|\bis (?:wrong|incorrect|outdated|off by)\b|\b(?:undo|revert|roll back)\b|\bwrong (?:file|function|one|name|place|line"
        r"|order|way|column|version|date|sign|table|unit)\b|\bshould(?:n'?t)? (?:have|be|return|say)\b|^i said\b",
        _I,
    ),
    "tool_knowledge": re.compile(
        r"\b(?:use|run|call|try|prefer|invoke) `?(?:the )?[\w./-]+`?(?: \w+)?,? (?:instead of|not|rather than|over)\b"
        r"|\b(?:run|use|invoke|execute) (?:it with )?(?:`[^`]+`|make|npm|yarn|pnpm|pytest|ruff|mypy|docker|git|grep|rg|sed|jq|curl|psql|cargo|go"
        r"|uv|pip|poetry|kubectl|terraform|bash|excel|figma|jira|the (?:api|cli|linter|debugger|script|search tool|calculator|browser|mcp|sdk))\b"
        r"|\b(?:pass|set|add) (?:the )?(?:flag )?`?--?[\w-]+"
        r"|\b(?:that|this|the) (?:tool|command|api|endpoint|cli|script) (?:needs|takes|wants|expects|only|returns|requires|does(?:n'?t| not))\b"
        r"|\bdon'?t (?:use|call|run) (?:the )?(?:`[^`]+`|grep|sed|npm|pip|sudo|the api|git)\b|\bwith (?:the )?(?:search|edit|bash|shell|grep|sql) tool\b",
        _I,
    ),
    "quality_bar": re.compile(
        r"\b(?:must|should|has to|have to|needs? to) (?:all )?(?:pass|compile|be (?:under|below|at least|at most|covered|readable|production|typed|tested|idempotent"
        r"|accessible|no (?:more|longer)|thread-safe|backwards?))\b|\b(?:done|ready|finished|good enough|acceptable) (?:when|once|if|only)\b"
        r"|\b(?:now )?(?:it|this|that)(?:'s| is) (?:now )?(?:done|finished|complete|good enough|ready|not good enough|ship\w*)\b"
        r"|\bacceptance criteri|\bproduction[- ](?:ready|quality|grade)\b|\b(?:100|[5-9]\d) ?% (?:coverage|accura\w+|of)\b"
        r"|\bno (?:warnings|regressions|todos?|typos|placeholders|errors|flaky)\b|\bbefore (?:you|we) (?:merge|ship|finish|call it)"
        r"|\bquality bar\b|\b(?:at most|no more than|at least|under|below) \d+ ?(?:words?|lines?|ms|seconds?|characters?|tests?|%|sentences?|pages?)",
        _I,
    ),
    "priority": re.compile(
        r"^first\b|\b(?:before anything|above all|most important(?:ly)?|priority|prioriti[sz]e|matters? (?:more|most)|more important"
        r"|less important|rather .{1,40} than|focus on|don'?t (?:worry|bother|care) about|can wait|later is fine|not urgent|urgent"
        r"|asap|nice to have|optional|only if|if (?:you have|there'?s) (?:time|budget)|unless|as long as|even if|at the expense of|over speed"
        r"|trade-?off|in doubt)\b",
        _I,
    ),
    "pattern": re.compile(
        r"\b(?:always|never|every time|whenever|from now on|in (?:this|our) (?:repo|codebase|project|team|company|house)|by convention|as a rule"
        r"|convention|house style|we (?:usually|normally|typically|tend to|don'?t|use|write|name|call|put|keep|follow)|our (?:style|standard|guidelines?"
        r"|convention|naming|pattern)|like (?:we|the other|in the other|all the other)|same (?:way|style|pattern) as|follow the (?:pattern|style|existing)"
        r"|consistent with|going forward|in future)\b",
        _I,
    ),
    "task_selection": re.compile(
        r"\b(?:next (?:task|one|ticket|issue|up|item|thing|step is)|new task|move on to|moving on to|now (?:on to|for the next)|let'?s (?:tackle|start (?:with|on)|move on"
        r"|switch to|work on|pick up|go to|turn to|begin with|do the next)|start (?:with|on) (?:the )?(?:ticket|issue|task|bug|next)|pick (?:up )?(?:the )?(?:next|ticket|issue)"
        r"|work on (?:the )?(?:ticket|issue|bug|next|other)|leave (?:that|this|it) (?:for|and)|skip (?:that|this|it|the)|park (?:that|this|it)|back to the"
        r"|different task|another task|instead of that,? do|take (?:on )?(?:the )?(?:ticket|issue|next)|switch to (?:the )?(?:\w+ )?(?:ticket|task|issue|bug|feature))\b"
        r"|\b(?:ticket|issue) #?\d+ (?:next|first|now)\b",
        _I,
    ),
}
"""One rule a kind, tried on every message."""


def statements(text: str) -> tuple[WorkStatement, ...]:
    """Return the kinds of statement in a message, in one order.

    >>> statements("Never use tabs, because our linter refuses them")
    ('justification', 'pattern')
    """
    return tuple([kind for kind, rule in RULES.items() if rule.search(text)])

"""Findings: what a next message does with the answer before it, by rules that a person can read."""

import re

from ...streams.events.judged import Finding
from .message import NextMessage
from .words import likeness

AGAIN = 0.6
"""Likeness to the request before from which on a message asks for the same again."""

_TRACE = re.compile(
    r"traceback \(most recent call last\)"
    r"|^[ \t]*+at [\w.$<>/]+ ?\(.*:\d+"
    r"|^[ \t]*+file \".+\", line \d+"
    r"|\b[A-Za-z_.]{0,100}(?:Error|Exception)\b ?:"
    r"|\bpanic(?:ked)?(?: at|:)|^error(?:\[E\d+\])?:|npm ERR!|segmentation fault|undefined reference"
    r"|\bexit(?:ed with)? (?:code|status) [1-9]|^E {2,}\w|^=+ FAILURES =+|build failed",
    re.IGNORECASE | re.MULTILINE,
)
_THANKS = re.compile(
    r"\b(?:thanks|thank you|thx|ty|cheers|appreciate|perfect|great|awesome|excellent|brilliant|lovely"
    r"|nice(?:ly)?|well done|lgtm|looks good|love it|spot on|that works|works (?:now|great|perfectly|well)"
    r"|exactly what|good job|just what i)\b",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"\b(?:no|not|isn'?t|wasn'?t|hardly|far from) (?:\w+ )?(?:thanks|thank you|great|perfect|nice|good)"
    r"|\bthanks for nothing|\bgreat,? (?:another|now it'?s broken)",
    re.IGNORECASE,
)
_COMPLAINT = re.compile(
    r"\b(?:does(?:n'?t| not)|did(?:n'?t| not)|is(?:n'?t| not)|are(?:n'?t| not)) (?:\w+ )?"
    r"(?:work|help|right|correct|compile|run|true|what i (?:asked|want|said|meant))"
    r"|\bstill (?:not|no|fails?|failing|broken|wrong|the same|getting|get|doesn'?t|isn'?t|crash\w*)"
    r"|\b(?:is|are|was|that'?s|it'?s|you'?re|completely|totally|just) (?:\w+ )?(?:wrong|incorrect|broken|useless|nonsense"
    r"|terrible|awful|bad)\b|\b(?:useless|terrible|awful|horrible|ridiculous|rubbish|garbage)\b"
    r"|\byou (?:ignored|broke|keep|deleted|misunderstood|missed|made (?:it|that) up)"
    r"|\bwhy (?:did|do|would|are) you\b|\bthat'?s not (?:it|what)\b|\bnot what i\b|\bnonsense\b"
    r"|\bi (?:already|just) (?:said|told|asked)\b|\bhow many times\b|\bwaste of\b|\bunacceptable\b",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"^(?:no|nope|wrong|incorrect|actually)\b|\bactually,? |\bi meant\b|\bi said\b|\bnot \w+,? but\b"
    r"|\bshould(?:n'?t)? (?:be|have|return|use|say|not|only|start|end|take|come|give)\b|\bshould'?ve\b"
    r"|\b(?:you )?(?:forgot|misread|mixed up|left out|dropped|overlooked)\b|\binstead of\b|\brather than\b"
    r"|\b(?:it|that|this|there)'?s supposed to\b|\b(?:is|are) supposed to\b|\bmust (?:not )?be\b"
    r"|\b(?:fix|correct|undo|revert|redo) (?:it|that|this|the|your)\b|\bmissing\b"
    r"|\b(?:do not|don'?t) (?:use|change|touch|add|remove|call|import|write|delete|rename)\b"
    r"|\bwrong (?:file|function|one|name|place|line|order|way|column|version|date)\b|\btry again\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"\b(?:new|another|different|unrelated|separate|other) (?:question|topic|subject|task|thing|issue|problem|matter)\b"
    r"|\bunrelated\b|\b(?:by the way|btw)\b|\bchang(?:e|ing) (?:of )?(?:the )?(?:topic|subject)\b"
    r"|\bswitch(?:ing)? (?:gears|topics?|to something)\b|\b(?:forget|never ?mind|drop) (?:about )?(?:that|it|this)\b"
    r"|\bmoving on to (?:something|another)\b|\bsomething (?:else|different)\b|\bon another note\b",
    re.IGNORECASE,
)
_NEXT = re.compile(
    r"^(?:ok(?:ay)?|now|next|then|and|also|great|good|cool|alright|so|perfect|nice|thanks|yes|yep|sure)\b"
    r"|\b(?:now|next|also|then),? (?:add|write|make|do|can|could|please|let'?s|we|the|how|create|implement)\b"
    r"|\bnext (?:step|one|question|task|part)\b|\bcan you also\b|\blet'?s (?:continue|go on|move on|do)\b",
    re.IGNORECASE,
)


def findings(message: NextMessage) -> tuple[Finding, ...]:
    """Return what a message does with the answer, in one order; none of them where no rule says so."""
    text = message.text.strip()
    if not text:
        return ()
    found: list[Finding] = []
    trace = bool(_TRACE.search(text))
    again = likeness(text, message.request) >= AGAIN
    complained = bool(_COMPLAINT.search(text))
    corrected = bool(_CORRECTION.search(text)) or again
    but = bool(_BUT.search(text))
    thanked = bool(_THANKS.search(text)) and not but
    subject = bool(_SUBJECT.search(text))
    against = trace or complained or corrected or but
    if not against and not subject and _NEXT.search(text):
        found.append("moved_on")
    if thanked and not complained:
        found.append("thanked")
    if corrected:
        found.append("corrected")
    if complained or but:
        found.append("complained")
    if trace:
        found.append("pasted_trace")
    if subject:
        found.append("changed_subject")
    return tuple(found)
